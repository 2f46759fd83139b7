# Turns CandlewickFeed.mq5 into the body of a C++ struct, with no line added or lost. What the two languages write alike stays.
# MQL5 lets a function be used before it is defined, and so does the body of a struct; a new struct is a program that was loaded anew.

# The compiler's properties and the headings of the input dialog do nothing.
s/^#property .*//
s/^input group .*//

# input TYPE NAME = DEFAULT;  becomes a constant that the command `input NAME VALUE` sets for the next start.
s/^input +([A-Za-z_]+) +([A-Za-z]+) *= *([^;]*);.*/const \1 \&\2 = input_value<\1>("\2", \3);/

# TYPE &name[]  and  TYPE name[]  are dynamic arrays.
s/([A-Za-z_]+) &([A-Za-z_]+)\[\]/Array<\1> \&\2/g
s/^( *)(const )?([A-Za-z_]+) +([A-Za-z_]+)\[\]( *[;=])/\1\2Array<\3> \4\5/
