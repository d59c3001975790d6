package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const contrib = "../../contrib/prometheus"

// names are those of all metrics that there are, with the endings of histograms.
func names(t *testing.T) map[string]bool {
	t.Helper()
	m := New(time.Now, &State{})
	all := make(chan *prometheus.Desc, 100)
	for _, c := range []prometheus.Collector{m.effects, m.failures, m.messages, m.replies, m.handling, &scrape{}} {
		c.Describe(all)
	}
	close(all)
	known := map[string]bool{}
	for d := range all {
		name := regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1]
		known[name] = true
		if strings.HasSuffix(name, "_duration_seconds") {
			known[name+"_bucket"], known[name+"_sum"], known[name+"_count"] = true, true, true
		}
	}
	if len(known) < 15 {
		t.Fatalf("%d metrics, want all: %v", len(known), known)
	}
	return known
}

// TestContribNames: every metric that rules and dashboard name exists, and each that
// exists is shown or watched.
func TestContribNames(t *testing.T) {
	known, used := names(t), map[string]bool{}
	for _, file := range []string{"pec-milter.rules.yml", "pec-milter.test.yml", "dashboard.json"} {
		text, err := os.ReadFile(filepath.Join(contrib, file))
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`pec_milter_\w+`).FindAllString(string(text), -1)
		if len(found) < 10 {
			t.Errorf("%s names %d metrics, want at least 10", file, len(found))
		}
		for _, name := range found {
			if used[name] = true; !known[name] {
				t.Errorf("%s names %s, which does not exist", file, name)
			}
		}
	}
	for name := range known {
		if base, _, histogram := strings.Cut(name, "_duration_seconds"); !histogram && !used[name] || histogram && !used[base+"_duration_seconds_bucket"] {
			t.Errorf("%s is neither in the rules nor in the dashboard", name)
		}
	}
}

func TestDashboardIsJSON(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(contrib, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range board.Panels {
		if p.Title == "" || seen[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %d %q has no title, no target, or the id of another", p.ID, p.Title)
		}
		seen[p.ID] = true
	}
	if len(seen) < 8 {
		t.Errorf("%d panels, want at least 8", len(seen))
	}
}

// alarms are the names of the alert rules.
func alarms(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(contrib, "pec-milter.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	if len(found) < 10 {
		t.Fatalf("%d alarms found, want all: %v", len(found), found)
	}
	return found
}

// TestAlarmsAreExplained: each has a line in docs/operations.md that says what it
// means, and a test.
func TestAlarmsAreExplained(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(contrib, "pec-milter.test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Alarms\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, alarm := range alarms(t) {
		if !strings.Contains(section, "\n| `"+alarm+"` | ") {
			t.Errorf("docs/operations.md, Alarms, has no line for %s", alarm)
		}
		if !strings.Contains(string(tests), "alertname: "+alarm+"\n") {
			t.Errorf("pec-milter.test.yml does not test %s", alarm)
		}
	}
	if lines, want := strings.Count(section, "\n| `"), len(alarms(t)); lines != want {
		t.Errorf("docs/operations.md explains %d alarms, there are %d", lines, want)
	}
}

// TestAlertRules: promtool carries out the tests of the rules.
func TestAlertRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool: contrib/debian/setup.sh installs it")
	}
	for _, arguments := range [][]string{{"check", "rules", "pec-milter.rules.yml"}, {"test", "rules", "pec-milter.test.yml"}} {
		command := exec.Command(promtool, arguments...)
		command.Dir = contrib
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", arguments, err, output)
		}
	}
}
