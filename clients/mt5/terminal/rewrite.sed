# Turns CandlewickFeed.mq5 into the body of a C++ struct without adding or removing a line. Code that both languages share stays as
# it is. In a struct, as in MQL5, a function can be used before its definition, and a new object is a program that was loaded anew.

# Removes the compiler's properties and the headings of the input dialog.
s/^#property .*//
s/^input group .*//

# input TYPE NAME = DEFAULT;  becomes a constant that the command `input NAME VALUE` sets for the next start.
s/^input +([A-Za-z_]+) +([A-Za-z]+) *= *([^;]*);.*/const \1 \&\2 = input_value<\1>("\2", \3);/

# TYPE &name[]  and  TYPE name[]  are dynamic arrays.
s/([A-Za-z_]+) &([A-Za-z_]+)\[\]/Array<\1> \&\2/g
s/^( *)(const )?([A-Za-z_]+) +([A-Za-z_]+)\[\]( *[;=])/\1\2Array<\3> \4\5/
