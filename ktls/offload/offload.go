// Package offload is the contract between the record layer and a network interface that makes records, after
// Linux's Documentation/networking/tls-offload.rst and FreeBSD's IFCAP_TXTLS. Who makes headers is not as there: ConnectX
// takes them from the host, this contract has the interface frame records, as Chelsio's T6 does (Linux: tls-hw-record).
//
//  1. The record layer asks the interface for a context per key ([NIC].AddContext) and queues records as plaintext.
//  2. The stack hands frames with plaintext and [stream.Sealing]s to the device, which makes header, explicit nonce (TLS
//     1.2: the record number), inner content type (TLS 1.3) and tag of each record, and seals while it reads.
//  3. A context knows where the stream goes on. A frame that is not the next one makes the device read the plaintext
//     of the record it begins in once more, from its start ([stream.Records].Plain), to rebuild the cipher's state.
//  4. The device never lets plaintext out: a frame that it cannot seal is dropped, and TCP sends it again.
//  5. A context goes with its last record (DelContext); frames that are still in the ring keep it.
package offload

import "errors"

// A Crypto is what a context is made of (Linux: struct tls12_crypto_info_aes_gcm_128 and its like).
type Crypto struct {
	Version uint16   // 0x0303 or 0x0304
	Key     []byte   // AES-GCM, 16 or 32 bytes; copied by the interface, wiped by the caller
	IV      [12]byte // TLS 1.2: 4 bytes of salt, then zeros
	Number  uint64   // of the first record
}

var (
	// ErrNoContext: the table of contexts is full.
	ErrNoContext = errors.New("the interface has no TLS context left")
	// ErrUnsupported: the interface does not seal such records, or its offload is switched off.
	ErrUnsupported = errors.New("the interface does not seal this")
)

// Health is what an interface says about sealing for a context: whether it is worth going on.
type Health uint8

const (
	Good      Health = iota
	Pending          // the context is still being set up: not yet
	Evicted          // the context was given to another connection
	Saturated        // the interface's budget (bus, memory) is used up
	Disabled         // the offload has been switched off
)

var healthNames = [...]string{"good", "pending", "evicted", "saturated", "disabled"}

func (h Health) String() string { return healthNames[h] }

// A NIC is one queue of an interface that seals records. It belongs to the shard that drives the queue.
type NIC interface {
	// AddContext makes a context and returns its handle, which is never 0.
	AddContext(c *Crypto) (uint64, error)
	// DelContext forgets a context and wipes its key, once the frames in the ring that need it are gone.
	DelContext(id uint64)
	// Health says whether records should be left to the context now.
	Health(id uint64) Health
	// Turn is a number that moves when a context is lost or evicted, and with each turn of the shard in which the offload is
	// off or its budget used up: while it stands still, every context that was Good still seals. It costs little: it is asked for
	// each frame and for what is framed.
	Turn() uint64
	// Prefetch says that a frame with the context's records comes next.
	Prefetch(id uint64)
}
