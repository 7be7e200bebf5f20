// Package compare serves the same bytes from the same server in the four TLS modes, in turn, and says what each
// costs.
//
//  1. [Run] takes the cells of its [Options], each mode at each loss rate and number of connections, round by
//     round: all modes once, then all of them again, so that what drifts on the machine drifts under all (run.go).
//  2. For each measurement a world is made: the origin with its cache, records and stack of one shard, behind an
//     emulated adapter, and a second stack for the clients at the other end of a cable in memory (world.go). Loss
//     and delay stand at the clients' end, so that the adapter's time is what the adapter does.
//  3. Clients shake hands with crypto/tls before the clock starts (tlsclient.go). From then on a connection is a
//     state machine without a goroutine: it asks for the file again and again, follows the records, and
//     opens and compares a share of all responses (player.go, opener.go). A wrong byte ends the run.
//  4. Between two snapshots (measure.go) lie the figures: processor time of the server's thread and of the
//     adapter's, the ledger of the server's bytes, what clients received and how long they waited.
//  5. Figures become medians with their spread (report.go), a table (table.go), a verdict computed from them
//     (verdict.go), JSON, and a page (page.go, chart.go).
package compare
