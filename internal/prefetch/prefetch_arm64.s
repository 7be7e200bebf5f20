#include "textflag.h"

// func Pair(p unsafe.Pointer)
TEXT ·Pair(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL1KEEP
	ADD $64, R0
	PRFM (R0), PLDL1KEEP
	RET
