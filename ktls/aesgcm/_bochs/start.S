/* The kernel's assembly, at 0x2000000: long mode with AVX-512, the call of a routine with Go's ABI0, faults.

   Memory is mapped as it lies, in pages of 2 MiB. The program, from 0, and the cases, from 0x4000000, can only be
   read; the pages at 0xc800000, 0xcc00000 and 0xd000000 are src, dst and the hash's, with nothing mapped around. */
	.text
	.code32
	.globl	_start
_start:	mov	$0x10, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	lgdt	gdtr
	mov	$0x40620, %eax		/* CR4: PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	/* EFER: LME */
	mov	$0x100, %eax
	xor	%edx, %edx
	wrmsr
	mov	$0x80000033, %eax	/* CR0: PG, NE, ET, MP, PE */
	mov	%eax, %cr0
	ljmp	$8, $long
	.code64
long:	xor	%ecx, %ecx
	mov	$0xe7, %eax		/* XCR0: x87, SSE, AVX, and AVX-512's three */
	xor	%edx, %edx
	xsetbv
	mov	$stack, %esp
	call	faults_go_to
	call	kernel
end:	mov	$0x8900, %edx		/* Bochs ends when this port has got the word */
	mov	$shutdown, %esi
	mov	$8, %ecx
	rep outsb
	hlt

/* From here on what is read-only can only be read. */
	.globl	write_protect
write_protect:
	mov	%cr0, %rax
	bts	$16, %rax		/* CR0: WP */
	mov	%rax, %cr0
	ret

/* void call_abi0(void (*routine)(void), const uint64_t args[8], uint8_t vectors[16][64]):
   all registers but RDX and RSP are filled with ones first; vectors 0 to 15 are kept afterwards. */
	.globl	call_abi0
call_abi0:
	push	%rbp
	push	%rbx
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	push	%rdx
	mov	$8, %ecx
1:	push	-8(%rsi,%rcx,8)
	dec	%ecx
	jnz	1b
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
	vpternlogd $0xff, %zmm\n, %zmm\n, %zmm\n
	.endr
	.irp	n, 0,1,2,3,4,5,6,7
	kxnorw	%k\n, %k\n, %k\n
	.endr
	mov	%rdi, %rdx
	.irp	r, rax,rbx,rcx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15
	mov	$-1, %\r
	.endr
	call	*%rdx
	add	$64, %rsp
	pop	%rdx
	.irp	n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
	vmovdqu64 %zmm\n, 64*\n(%rdx)
	.endr
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbx
	pop	%rbp
	ret

/* An exception's number, and an error code where the CPU pushes none, then fault(frame, CR2). */
	.altmacro
	.macro	exception n
	.balign	16
	.if	\n != 8 && (\n < 10 || \n > 14) && \n != 17
	push	$0
	.endif
	push	$\n
	jmp	fault_common
	.endm
	.balign	16
exceptions:
	.set	n, 0
	.rept	32
	exception %n
	.set	n, n + 1
	.endr
fault_common:
	mov	%rsp, %rdi
	mov	%cr2, %rsi
	call	fault
	jmp	end

/* faults_go_to fills the interrupt table: gates to the 16 bytes of each exception. */
faults_go_to:
	mov	$idt, %edi
	mov	$exceptions, %eax
	mov	$32, %ecx
2:	movw	%ax, (%rdi)
	movl	$0x8e000008, 2(%rdi)	/* code segment 8, an interrupt gate */
	mov	%eax, %edx
	shr	$16, %edx
	movw	%dx, 6(%rdi)
	movq	$0, 8(%rdi)
	add	$16, %eax
	add	$16, %edi
	loop	2b
	lidt	idtr
	ret

	.section .data
shutdown: .ascii "Shutdown"
	.balign	8
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff	/* 64-bit code, data */
gdtr:	.word	gdtr - gdt - 1
	.quad	gdt
idtr:	.word	32*16 - 1
	.quad	idt
	.balign	4096
pml4:	.quad	pdpt + 3
	.fill	511, 8, 0
pdpt:	.quad	pages + 3
	.fill	511, 8, 0
pages:	.set	n, 0
	.rept	512
	.if	n < 16 || (n >= 32 && n < 99)
	.quad	(n << 21) + 0x81	/* read-only */
	.elseif	n < 32 || n == 100 || n == 102 || n == 104
	.quad	(n << 21) + 0x83
	.else
	.quad	0
	.endif
	.set	n, n + 1
	.endr
	.section .bss
	.balign	4096
idt:	.skip	4096
	.skip	0x10000
stack:
