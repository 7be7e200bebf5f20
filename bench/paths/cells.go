package main

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// rate is the bottleneck of all cells: 100 Mb/s.
const rateBits = 100e6

// A cell is a path and what is fetched over it. All misfortune is on the way from the server to the client.
type cell struct {
	RTT     time.Duration `json:"rtt_ns"`
	Loss    float64       `json:"loss"`    // share of packets
	Reorder float64       `json:"reorder"` // share of packets held back by up to a quarter of the RTT
	BDPs    float64       `json:"bdps"`    // the bottleneck's queue
	Tail    int           `json:"tail"`    // how many of the last packets of the response are lost
	Size    int           `json:"size"`    // bytes
	Short   bool          `json:"short"`   // completion times, not goodput, are compared
}

// grid thins RTT x loss x reorder x queue to 24 cells, so that every value stands beside every other one.
var grid = []struct{ ms, loss, reorder, bdps float64 }{
	{1, 0, 0, 4}, {1, 0.1, 0, 1}, {1, 1, 2, 4}, {1, 3, 0, 1}, {1, 0, 2, 1},
	{20, 0, 0, 0.1}, {20, 0, 0, 1}, {20, 0, 2, 4}, {20, 0.1, 0, 1}, {20, 0.1, 2, 4}, {20, 1, 0, 1}, {20, 3, 0, 4},
	{100, 0, 0, 0.1}, {100, 0, 0, 1}, {100, 0, 2, 1}, {100, 0.1, 0, 1}, {100, 0.1, 2, 4}, {100, 1, 0, 1}, {100, 1, 2, 1},
	{100, 3, 2, 1},
	{209, 0, 0, 1}, {209, 0, 2, 4}, {209, 0.1, 0, 0.1}, {209, 1, 0, 1},
}

// allCells is the grid, then short responses that lose their tail, then short ones with random loss.
func allCells() []cell {
	var cells []cell
	for _, g := range grid {
		c := cell{RTT: ms(g.ms), Loss: g.loss / 100, Reorder: g.reorder / 100, BDPs: g.bdps}
		c.Size = c.size()
		cells = append(cells, c)
	}
	for _, rtt := range []float64{20, 100} {
		for _, tail := range []int{0, 1, 3, 10} {
			cells = append(cells, cell{RTT: ms(rtt), BDPs: 4, Tail: tail, Size: tailSize, Short: true})
		}
	}
	for _, size := range []int{64 << 10, 256 << 10} {
		cells = append(cells, cell{RTT: ms(50), BDPs: 1, Loss: .03, Size: size, Short: true})
	}
	return cells
}

// A response of tailSize bytes with its header takes tailPackets packets of 1448 bytes: the header is far
// longer than nothing and far shorter than what is left of the last one.
const (
	tailPackets = 46
	tailSize    = tailPackets*1448 - 724
)

// expected is about the rate that the cell allows, bytes per second: where losses bound the window, that of
// Mathis et al. (1997), 1.22 * MSS / (RTT * sqrt(loss)).
func (c *cell) expected() float64 {
	if c.Short {
		return rateBits / 8 / 4 // most of the time nothing is under way
	}
	if c.Loss > 0 {
		return min(rateBits/8, 1.22*1448/(c.RTT.Seconds()*math.Sqrt(c.Loss)))
	}
	return rateBits / 8
}

// size lasts for a few seconds.
func (c *cell) size() int {
	n := 512 << 10
	for n < 16<<20 && float64(2*n) < 4*c.expected() {
		n *= 2
	}
	return n
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// name says what distinguishes the cell.
func (c *cell) name() string {
	parts := []string{fmt.Sprintf("%v", c.RTT), fmt.Sprintf("loss %g%%", c.Loss*100)}
	if c.Short {
		parts[0] += " short"
	}
	if c.Tail > 0 {
		parts[1] = fmt.Sprintf("last %d lost", c.Tail)
	}
	parts = append(parts, fmt.Sprintf("reorder %g%%", c.Reorder*100), fmt.Sprintf("queue %g", c.BDPs), bytesName(c.Size))
	return strings.Join(parts, ", ")
}

func bytesName(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// there and back are the cell's path for `ocaserve link`, from the server to the client and back.
func (c *cell) there() string {
	spec := fmt.Sprintf("rate=%.0fbps,queue=%gbdp", rateBits, c.BDPs)
	if c.Loss > 0 {
		spec += fmt.Sprintf(",loss=%g%%", c.Loss*100)
	}
	if c.Reorder > 0 {
		spec += fmt.Sprintf(",reorder=%g%%,reorder-by=%v", c.Reorder*100, c.RTT/4)
	}
	if c.Tail > 0 {
		spec += fmt.Sprintf(",drop=%d-%d", tailPackets-c.Tail+1, tailPackets)
	}
	return spec
}

func (c *cell) delay() string { return "delay=" + (c.RTT / 2).String() }
