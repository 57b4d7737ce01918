@echo off
rem status NAME DIR [DEPTH]: whether the host of an instance works. DIR is its install directory.
rem DEPTH is "host", the default, or "journal", which also writes to the shared disk; call it less
rem often.
rem
rem Exit codes: 0 it works, 1 it runs and does not work, 3 it does not run.
setlocal
if "%~2"=="" goto :usage
set depth=%~3
if "%depth%"=="" set depth=host
sc query ferryway-%~1-socket | find "RUNNING" >nul
if errorlevel 1 exit /b 3
sc query ferryway-%~1-transfer | find "RUNNING" >nul
if errorlevel 1 exit /b 3
rem The programs lie two folders above these files, as they are delivered.
"%~dp0..\..\ftprel.exe" health --dir "%~2" --depth %depth% --timeout 5 >nul
if errorlevel 1 exit /b 1
exit /b 0

:usage
echo usage: status NAME DIR [DEPTH]
exit /b 2
