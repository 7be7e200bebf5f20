package tcpstack

import (
	"strings"
	"testing"
)

// TestRackAgainstBase holds the whole golden table to what rack is for: on no path is it behind base by more than 2 %,
// where packets are reordered or a window's end is lost it is ahead, and it hardly sends anything for nothing.
func TestRackAgainstBase(t *testing.T) {
	rows := goldenRows(t)
	cells, reordered, needless := 0, 1.0, [2]float64{}
	for key, rack := range rows {
		rest, ok := strings.CutPrefix(key, FunctionsRack)
		base := rows[FunctionsBase+rest]
		if !ok || base == nil {
			continue
		}
		cells++
		ratio := rack[goldenSeconds] / base[goldenSeconds]
		if ratio > 1.02 {
			t.Errorf("%s: %.3f s, and base %.3f s", key, rack[goldenSeconds], base[goldenSeconds])
		}
		if at := strings.Fields(rest); at[3] == "2" && at[1] != "1" {
			reordered *= ratio
		}
		needless[0] += base[goldenSpurious]
		needless[1] += rack[goldenSpurious]
	}
	if cells != len(goldenPaths())/2 {
		t.Errorf("%d pairs of cells, want %d", cells, len(goldenPaths())/2)
	}
	if needless[1] > needless[0]/5 {
		t.Errorf("sent for nothing: %.2f %% in sum, and base %.2f %%", needless[1], needless[0])
	}
	// 108 paths of 20 ms and more that reorder.
	if reordered > 1e-6 {
		t.Errorf("rack is not far ahead where packets are reordered: the product of the ratios is %g", reordered)
	}
}
