@echo off
rem start NAME: starts the two services of an instance, in their order, for cluster managers that
rem call batch files. Ends with 0 when the host is ready and moves jobs, with 1 when it is not.
rem
rem A takeover may take longer than "net start" waits, so the services are asked until they run or
rem have ended, for five minutes at most.
setlocal
if "%~1"=="" goto :usage
call :begin ferryway-%~1-socket
if errorlevel 1 exit /b 1
call :begin ferryway-%~1-transfer
if errorlevel 1 exit /b 1
exit /b 0

:usage
echo usage: start NAME
exit /b 2

:begin
rem One that runs already is refused, which is as good.
net start %1
set tries=300
:look
sc query %1 | find "RUNNING" >nul
if not errorlevel 1 exit /b 0
sc query %1 | find "STATE" >nul
if errorlevel 1 goto :ended
sc query %1 | find "STOPPED" >nul
if not errorlevel 1 goto :ended
set /a tries=tries-1
if "%tries%"=="0" goto :ended
ping -n 2 127.0.0.1 >nul
goto :look
:ended
echo %1 does not run: the folder log of Ferryway in ProgramData says why
exit /b 1
