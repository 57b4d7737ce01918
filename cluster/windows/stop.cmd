@echo off
rem stop NAME: stops the two services of an instance, in the reverse of the order of their start.
rem Ends with 0 when neither runs, with 1 when one does not end: then the node has to be fenced.
setlocal
if "%~1"=="" goto :usage
call :finish ferryway-%~1-transfer
if errorlevel 1 exit /b 1
call :finish ferryway-%~1-socket
if errorlevel 1 exit /b 1
exit /b 0

:usage
echo usage: stop NAME
exit /b 2

:finish
rem One that does not run is refused, which is as good.
net stop %1
set tries=120
:look
sc query %1 | find "STATE" >nul
if errorlevel 1 exit /b 0
sc query %1 | find "STOPPED" >nul
if not errorlevel 1 exit /b 0
set /a tries=tries-1
if "%tries%"=="0" goto :hangs
ping -n 2 127.0.0.1 >nul
goto :look
:hangs
echo %1 does not end
exit /b 1
