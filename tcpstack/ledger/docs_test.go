package ledger

import (
	"os"
	"strings"
	"testing"
)

// docs/offload.md has every event and every law, as they are here.
func TestDocumented(t *testing.T) {
	b, err := os.ReadFile("../../docs/offload.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for e := range NumEvents {
		if !strings.Contains(doc, "`"+e.String()+"`") {
			t.Errorf("docs/offload.md does not say what %v is", e)
		}
	}
	for _, law := range Laws() {
		_, formula, _ := strings.Cut(law, ": ")
		if !strings.Contains(doc, "`"+formula+"`") {
			t.Errorf("docs/offload.md lacks the law %s", formula)
		}
	}
}
