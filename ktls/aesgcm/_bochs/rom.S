/* The machine's ROM, 64 KiB at 0xf0000: from the reset vector straight to 32-bit mode and to start.S. There is no
   BIOS; Bochs puts the kernel into memory (bochsrc). */
	.code16
	.equ	rom, 0xf0000
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00cf93000000ffff	/* flat code, flat data */
gdtr:	.word	gdtr - gdt - 1
	.long	rom
start:	cli
	mov	$2, %al			/* address line 20 counts */
	out	%al, $0x92
	lgdtl	%cs:gdtr - gdt
	mov	$0x11, %eax		/* CR0: PE, ET */
	mov	%eax, %cr0
	ljmpl	$8, $0x2000000
	.org	0xfff0			/* where a reset begins */
	ljmp	$0xf000, $start - gdt
	.org	0x10000
