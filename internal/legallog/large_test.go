package legallog

import (
	"cmp"
	"database/sql"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// The size of the log that is searched: make bench-log has 10 million rows.
var (
	largeRows = flag.Int("rows", largeByDefault, "rows of the large log")
	largeDay  = flag.Int("day", largeByDefault, "rows of the day that is audited")
)

// large makes the rows of a log: finished messages, evenly spread over 30 months,
// from and to some of up to 2,000 holders and 2,000 others. They are not chained.
type large struct {
	rows   int
	from   time.Time
	span   time.Duration
	random *rand.Rand
	queue  []Row
	made   int
	users  int
}

const rowsOfMessage = 5

func newLarge(rows int, from time.Time, span time.Duration) *large {
	return &large{rows: rows, from: from, span: span, random: rand.New(rand.NewPCG(7, 8)), users: max(20, min(2000, rows/5000))}
}

// next gives the next row; false: there are no more.
func (g *large) next() (*Row, bool) {
	if g.made >= g.rows {
		return nil, false
	}
	n := g.made % rowsOfMessage
	if n == 0 {
		g.queue = g.message(g.made / rowsOfMessage)
	}
	g.made++
	row := &g.queue[n]
	row.Seq, row.Node = int64(g.made), "one"
	binary.BigEndian.PutUint64(row.Hash[:], uint64(g.made))
	return row, true
}

func largeID(n int) string { return fmt.Sprintf("pec%024x@pec.alfa.example", n) }

func largeRecipient(n int) string { return fmt.Sprintf("other%04d@pec%03d.example", n, n%150) }

func (g *large) message(n int) []Row {
	at := g.from.Add(time.Duration(float64(g.span) / float64(g.rows/rowsOfMessage) * float64(n))).Truncate(time.Microsecond)
	to := largeRecipient(g.random.IntN(g.users))
	e := point.Event{
		Time: at, Kind: point.EventAccepted, Door: point.AccessDoor, QueueID: fmt.Sprintf("4dG%012X", n), ID: largeID(n),
		Reference: fmt.Sprintf("<%024x.user@client.example>", n), Sender: fmt.Sprintf("holder%05d@pec.alfa.example", g.random.IntN(g.users)),
		Recipients: []pec.Recipient{{Address: to, Kind: pec.Certified}}, Provider: "Alfa PEC S.p.A.", Size: 54321, ReceiptType: pec.Complete,
		Subject: fmt.Sprintf("Comunicazione n. %d del Servizio Protocollo", n),
	}
	rows := []Row{{Event: e}}
	notice := func(kind point.EventKind, notice pec.Kind, after time.Duration) {
		e := e
		e.Time, e.Kind, e.Notice, e.NoticeID = at.Add(after), kind, notice, fmt.Sprintf("%s%024x@pec.alfa.example", notice[:3], n)
		switch notice {
		case pec.ServerAcceptance:
			e.TakenFor = []string{to}
		case pec.Delivery:
			e.Delivered = to
		}
		rows = append(rows, Row{Event: e})
	}
	notice(point.EventIssuing, pec.Acceptance, 0)
	notice(point.EventIssued, pec.Acceptance, 0)
	notice(point.EventNotification, pec.ServerAcceptance, time.Second)
	notice(point.EventNotification, pec.Delivery, 3*time.Second)
	return rows
}

// fillSQLite writes the rows in large transactions.
func fillSQLite(t *testing.T, db *sql.DB, g *large) {
	t.Helper()
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mark := strings.TrimSuffix(strings.Repeat("?, ", strings.Count(eventColumns, ",")+1), ", ")
	for more := true; more; {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		event, err := tx.Prepare("INSERT INTO events (" + eventColumns + ") VALUES (" + mark + ")")
		index, err2 := tx.Prepare("INSERT INTO search (term, time, seq) VALUES (?, ?, ?)")
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 50_000; n++ {
			row, ok := g.next()
			if more = ok; !ok {
				break
			}
			values, err := row.values()
			if err == nil {
				_, err = event.Exec(values...)
			}
			for term := range terms(&row.Event) {
				if err == nil {
					_, err = index.Exec(int64(term), row.Time.UnixMicro(), row.Seq)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// fillPostgreSQL copies the rows into the partitions of their months.
func fillPostgreSQL(t *testing.T, db *sql.DB, owner *sql.DB, g *large) {
	t.Helper()
	for month := time.Date(g.from.Year(), g.from.Month(), 1, 0, 0, 0, 0, time.UTC); month.Before(g.from.Add(g.span + 31*24*time.Hour)); month = month.AddDate(0, 1, 0) {
		if _, err := owner.Exec("SELECT events_month($1)", month.UnixMicro()); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	columns := strings.FieldsFunc(eventColumns, func(r rune) bool { return strings.ContainsRune(", \n\t", r) })
	err = conn.Raw(func(driver any) error {
		pg := driver.(*stdlib.Conn).Conn()
		if _, err := pg.Exec(ctx, "SET statement_timeout = 0"); err != nil {
			return err
		}
		for more := true; more; {
			var index [][]any
			count := 0
			_, err := pg.CopyFrom(ctx, pgx.Identifier{"events"}, columns, pgx.CopyFromFunc(func() ([]any, error) {
				row, ok := g.next()
				if more = ok; !ok || count == 100_000 {
					if ok {
						g.made-- // it comes again
					}
					return nil, nil
				}
				count++
				for term := range terms(&row.Event) {
					index = append(index, []any{int64(term), row.Time.UnixMicro(), row.Seq})
				}
				return row.values()
			}))
			if err == nil {
				_, err = pg.CopyFrom(ctx, pgx.Identifier{"search"}, []string{"term", "time", "seq"}, pgx.CopyFromRows(index))
			}
			if err != nil {
				return err
			}
		}
		_, err := pg.Exec(ctx, "SET statement_timeout = '25s'")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	analysing, err := owner.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer analysing.Close()
	for _, statement := range []string{"SET statement_timeout = 0", "ANALYZE events, search"} {
		if _, err := analysing.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
}

const months30 = 30 * 30 * 24 * time.Hour

// TestLargeSQLite and TestLargePostgreSQL search a large log. What is bounded here is
// what is read; the times are told.
func TestLargeSQLite(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	g := newLarge(*largeRows, t0.AddDate(0, -30, 0), months30)
	began := time.Now()
	fillSQLite(t, log.db, g)
	t.Logf("%d rows written in %v", g.rows, time.Since(began).Round(time.Second))
	searchLarge(t, log, g)
}

func TestLargePostgreSQL(t *testing.T) {
	dsn := newDSN(t)
	log := openPostgreSQL(t, dsn)
	g := newLarge(*largeRows, t0.AddDate(0, -30, 0), months30)
	began := time.Now()
	fillPostgreSQL(t, log.db, connect(t, ownerDSN(dsn)), g)
	t.Logf("%d rows written in %v", g.rows, time.Since(began).Round(time.Second))
	of := "SELECT " + eventColumns + " FROM events WHERE "
	from := g.from.AddDate(0, 7, 0).UnixMicro()
	term := int64(newTerm(termSender, "holder00001@pec.alfa.example"))
	passedOver(t, log.db, of+"id <> '' AND id IN ($1, $2) ORDER BY seq", largeID(1), largeID(g.rows/rowsOfMessage-1))
	passedOver(t, log.db, of+"notice_id = $1 AND notice_id <> ''", "acc000000000000000000000001@pec.alfa.example")
	passedOver(t, log.db, of+"time >= $1 AND time <= $2 AND seq IN ($3, $4)", t0.AddDate(0, -30, 0).UnixMicro(), from, 1, 7)
	passedOver(t, log.db, placesQuery, term, from, 0, from+int64(30*24*time.Hour/time.Microsecond))
	searchLarge(t, log, g)
}

var removed = regexp.MustCompile(`Rows Removed by Filter: (\d+)`)

// passedOver bounds the rows that a query reads and passes over: it uses an index.
func passedOver(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	lines, err := db.Query("EXPLAIN ANALYZE "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	var plan strings.Builder
	for lines.Next() {
		var line string
		if err := lines.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	rows := 0
	for _, m := range removed.FindAllStringSubmatch(plan.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		rows += n
	}
	// The first month has few rows: they are read faster without the index.
	if rows > *largeRows/50 || !strings.Contains(plan.String(), "Index") {
		t.Errorf("%s passes over %d rows:\n%s", query, rows, plan.String())
	}
}

// searchLarge searches by id, by recipient and month, by sender, and by Message-ID.
func searchLarge(t *testing.T, log *Log, g *large) {
	messages := g.rows / rowsOfMessage
	random := rand.New(rand.NewPCG(9, 10))
	measure(t, "by id", 500, func() {
		if got := search(t, log, Query{ID: largeID(random.IntN(messages))}); len(got) != rowsOfMessage {
			t.Fatalf("by id: %d rows, want %d", len(got), rowsOfMessage)
		}
	})
	measure(t, "by Message-ID", 200, func() {
		if got := search(t, log, Query{MessageID: fmt.Sprintf("<%024x.user@client.example>", random.IntN(messages))}); len(got) != rowsOfMessage {
			t.Fatalf("by Message-ID: %d rows, want %d", len(got), rowsOfMessage)
		}
	})
	found := 0
	measure(t, "by sender and month", 100, func() {
		from := g.from.AddDate(0, random.IntN(29), 0)
		q := Query{Sender: fmt.Sprintf("holder%05d@pec.alfa.example", random.IntN(g.users)), From: from, To: from.AddDate(0, 1, 0)}
		found += len(search(t, log, q))
	})
	measure(t, "by recipient and month", 100, func() {
		from := g.from.AddDate(0, random.IntN(29), 0)
		found += len(search(t, log, Query{Recipient: largeRecipient(random.IntN(g.users)), From: from, To: from.AddDate(0, 1, 0)}))
	})
	// Each has as many messages in a month as another one, about; those that warm up count.
	if want := 220 * float64(g.rows) / float64(g.users) / 30; float64(found) < want/2 || float64(found) > want*2 {
		t.Errorf("220 searches by address and month found %d rows, want about %.0f", found, want)
	}
	from := g.from.AddDate(0, 7, 0)
	measure(t, "by the most frequent domain and day, 100 messages", 10, func() {
		rows := 0
		for message, err := range log.Search(ctx, Query{Domain: "pec.alfa.example", From: from, To: from.AddDate(0, 0, 1)}) {
			if err != nil {
				t.Fatal(err)
			}
			if rows += len(message); rows >= 100*rowsOfMessage {
				break
			}
		}
	})
}

// measure tells how long something takes, after it was done a tenth as often to warm
// up.
func measure(t *testing.T, what string, times int, do func()) {
	t.Helper()
	for range times / 10 {
		do()
	}
	took := make([]time.Duration, times)
	for n := range took {
		began := time.Now()
		do()
		took[n] = time.Since(began)
	}
	slices.Sort(took)
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("%s: median %v, p95 %v, longest %v (load average %.14s)", what, took[times/2].Round(time.Microsecond),
		took[times*95/100].Round(time.Microsecond), took[times-1].Round(time.Microsecond), cmp.Or(string(load), "not known"))
}
