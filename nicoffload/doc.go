// Package nicoffload emulates a network adapter with TCP segmentation, checksum and TLS offload in front of any
// link, after NVIDIA's ConnectX-6 Dx (Linux: mlx5 en_accel/ktls_tx.c) and Chelsio's T6 as their drivers know them.
// It is an emulation: the adapter's silicon is a thread of this process, its bus is a memory copy, and budgets,
// table sizes and latencies are what the configuration says. What is real is the division of labour, each byte
// that would cross the bus, and the processor time of the two sides, which are counted apart.
//
//  1. The shard gives frames to [Device.Transmit], the driver. For a frame of unsealed records it compares the
//     frame's place in the stream of records with the context's; if they differ it first posts a descriptor with
//     the record's plaintext before the frame (DUMP). Then it posts the frame: headers inline, payload by reference.
//     Of records that is the plaintext alone: as Chelsio's and unlike NVIDIA's, the adapter makes the rest of them.
//     Offloads that are switched off it does itself, on the shard's time.
//  2. Descriptors go through a ring of atomic positions to the adapter's thread of the queue, which sleeps in the
//     link's Wait and is rung only then (thread.go).
//  3. The thread charges the bus and memory budgets, makes records of the payload while it reads it into packet memory
//     (seal.go, resync.go), cuts superframes and fills in checksums where the link cannot (transmit.go).
//  4. If the frame is one of those that are verified, what it became is compared with what software would have
//     sent; a difference replaces it and switches the offload off (verify.go).
//  5. The link takes the packets; a completion tells the driver, and [Device.Completed] the shard, that memory
//     and records are free.
//  6. The other way the thread copies what the link has received into the receive ring, verifies checksums and
//     merges neighbouring segments; [Device.Receive] lends them to the shard.
//
// An adapter never lets plaintext out: a frame that cannot be sealed is dropped and completed.
package nicoffload
