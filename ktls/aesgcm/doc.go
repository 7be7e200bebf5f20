// Package aesgcm seals messages with AES-128-GCM and AES-256-GCM piece by piece, as fast as the CPU can: what
// crypto/cipher does for a whole record at once, this does for any run of bytes of it, so that a record is sealed
// while it is gathered from pages.
//
//  1. [New] expands a key: round keys and a table of powers of H, for the fastest [Path] of this CPU.
//  2. [Key.Begin] starts a message: a [Stream] with the nonce and the hash of the additional data.
//  3. [Key.Seal] takes the next bytes. The end of a begun block is finished with the keystream kept for it; whole
//     blocks go through the assembly; what is left begins a block again. Each byte is read once: the bulk loop
//     enciphers a group of blocks while it hashes the group before.
//  4. [Key.Tag] hashes the lengths and ends the message.
//  5. [Key.XORAt] enciphers any range of a message again, without hashing: counter mode seeks.
//
// The assembly (folder _asm writes it) is one engine in three widths of vector. A group is 8 vectors of 1 or 2
// blocks, or 4 vectors of 4. The hash of two groups is the sum of their blocks times descending powers of H, which
// needs one reduction instead of one a block. Blocks are byte-reversed before they are multiplied; GCM's own
// reversal of bits is met by multiplying the powers with x once, and by Montgomery's reduction, which divides by
// x^128 from the low end. Two widths spend three carry-less products on a block (Karatsuba), with stored sums of
// the halves of each power; the widest spends four, as its multiplier is fast.
//
// Time does not depend on keys or data: the key schedule, AES and the products are instructions of constant time,
// nothing is looked up, nothing branches but on lengths and counters. The comparison of tags is the caller's.
//
// A path is offered only when the CPU and the operating system have it, and it has sealed a known message right
// (selftest.go). Where there is no path, [Paths] is empty and callers use crypto/cipher. No CPU with AVX-512 was at
// hand: the speed of the 512-bit path has not been measured. That it is right has been seen in an emulated Ice
// Lake, beside the other two, on thousands of cases with results computed from the definitions (folder _bochs,
// TestEmulated).
//
// Sources: NIST SP 800-38D (GCM); FIPS 197 (AES); S. Gueron and M. Kounavis, Intel Carry-Less Multiplication
// Instruction and its Usage for Computing the GCM Mode, revision 2.02; S. Gueron, AES-GCM for Efficient
// Authenticated Encryption (2013), for the reduction; Drucker, Gueron and Krasnov, Making AES Great Again: The
// Forthcoming Vectorized AES Instruction (2018), for the wide forms.
package aesgcm

//go:generate go -C _asm run . -out ../engine_amd64.s -stubs ../engine_amd64.go -pkg aesgcm
