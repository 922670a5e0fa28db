#!/bin/sh
# Stands for the program in C++ where no compiler for it is installed.
echo 1..1
echo 'ok 1 - functions.cpp # SKIP no C++ compiler'
