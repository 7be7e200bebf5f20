package tcpstack

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRackAgainstBase holds the whole golden table to what rack is for: on no path is it behind base by more than 2 %,
// where packets are reordered or a window's end is lost it is ahead, and it hardly sends anything for nothing.
func TestRackAgainstBase(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "netsim.golden"))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]float64{} // "rack cubic 20 0.1 0 1.0" -> the columns behind the bar
	for line := range strings.Lines(string(b)) {
		key, values, ok := strings.Cut(line, "|")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		var row []float64
		for v := range strings.FieldsSeq(values) {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			row = append(row, f)
		}
		rows[strings.Join(strings.Fields(key), " ")] = row
	}
	cells, reordered, needless := 0, 1.0, [2]float64{}
	for key, rack := range rows {
		rest, ok := strings.CutPrefix(key, FunctionsRack)
		base := rows[FunctionsBase+rest]
		if !ok || base == nil {
			continue
		}
		cells++
		ratio := rack[0] / base[0]
		if ratio > 1.02 {
			t.Errorf("%s: %.3f s, and base %.3f s", key, rack[0], base[0])
		}
		if at := strings.Fields(rest); at[3] == "2" && at[1] != "1" {
			reordered *= ratio
		}
		needless[0] += base[3]
		needless[1] += rack[3]
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
