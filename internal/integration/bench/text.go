package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// text is the report for a person.
func (r *results) text() string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "%s, %s mode, %d cores (%s), kernel %s, %s; load average %.1f before, %.1f after; %.0f s.\n",
		r.Began.Format("2006-01-02 15:04"), r.Mode, m.Cores, m.Processor, m.Kernel, m.Go, m.LoadFirst, m.LoadLast, r.Seconds)
	for _, name := range r.LeftOut {
		fmt.Fprintf(&b, "LEFT OUT, not installed: %s\n", name)
	}
	for _, name := range []string{keyFile, softHSM} {
		if t := r.Keys[name]; t.Rounds > 0 {
			fmt.Fprintf(&b, "One signature, %s: %.2f ms on one core (%.2f to %.2f), %.2f ms of CPU time.\n",
				name, t.Median, t.Lowest, t.Highest, r.KeysCPU[name].Median)
		}
	}
	b.WriteString("\nMessages of 10 KB. Ratios are of the same round: median (lowest to highest).\n\n")
	table(&b, r.rateRows())
	b.WriteString("\nCPU time for each message, ms, by process.\n\n")
	table(&b, r.processorRows())
	b.WriteString("\nBy size and recipients, one session: medians.\n\n")
	table(&b, r.growthRows())
	b.WriteString("\nPeak memory of pec-milter (VmHWM), MiB.\n\n")
	table(&b, r.memoryRows())
	b.WriteString("\nTargets.\n\n")
	table(&b, r.targetRows())
	return b.String()
}

func table(b *strings.Builder, rows [][]string) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // a Builder never fails
}

func (s spread) String() string {
	if s.Rounds == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Lowest, s.Highest)
}

func (r *results) rateRows() [][]string {
	rows := [][]string{{"variant", "sessions", "rounds", "messages/s", "of no milter", "passes", "signatures", "of roofline", "accept p50 ms", "added p50", "p99 ms", "added p99"}}
	for _, s := range r.Rates {
		rows = append(rows, []string{s.Variant, fmt.Sprint(s.Sessions), fmt.Sprint(s.PerSecond.Rounds), fmt.Sprintf("%.0f", s.PerSecond.Median),
			s.VsPlain.String(), fmt.Sprintf("%.2f", s.Passes), fmt.Sprintf("%.2f", s.Signatures), s.OfRoofline.String(),
			fmt.Sprintf("%.1f", s.P50), fmt.Sprintf("%+.1f", s.AddedP50), fmt.Sprintf("%.1f", s.P99), fmt.Sprintf("%+.1f", s.AddedP99)})
	}
	return rows
}

func (r *results) processorRows() [][]string {
	rows := [][]string{{"variant", "sessions", "process", "ms"}}
	for _, s := range r.Rates {
		for _, name := range slices.Sorted(maps.Keys(s.CPU)) {
			rows = append(rows, []string{s.Variant, fmt.Sprint(s.Sessions), name, fmt.Sprintf("%.2f", s.CPU[name])})
		}
	}
	return rows
}

func (r *results) growthRows() [][]string {
	rows := [][]string{{"variant", "bytes", "recipients", "accept ms", "until delivered, ms", "CPU of pec-milter, ms"}}
	for _, g := range r.growth() {
		rows = append(rows, []string{g.Variant, fmt.Sprint(g.Size), fmt.Sprint(g.Recipients), fmt.Sprintf("%.1f", g.accept),
			fmt.Sprintf("%.1f", g.delivered), fmt.Sprintf("%.2f", g.busy)})
	}
	return rows
}

// grown is what a message of some size, for some recipients, costs.
type grown struct {
	sample
	accept, delivered, busy float64 // ms
}

// growth are the medians over the rounds, in the order of the table.
func (r *results) growth() (all []grown) {
	for _, name := range growing {
		for _, key := range r.growthKeys(name) {
			var accept, delivered, busy []float64
			for _, s := range r.Growth {
				if s.Variant == name && s.Size == key.Size && s.Recipients == key.Recipients {
					accept, delivered = append(accept, s.Accepts...), append(delivered, 1000/s.rate())
					busy = append(busy, s.CPU["pec-milter"])
				}
			}
			all = append(all, grown{key, quantile(accept, 0.5), quantile(delivered, 0.5), quantile(busy, 0.5)})
		}
	}
	return all
}

// growthKeys are one sample of each size and number of recipients.
func (r *results) growthKeys(variant string) (keys []sample) {
	for _, s := range r.Growth {
		same := func(k sample) bool { return k.Size == s.Size && k.Recipients == s.Recipients }
		if s.Variant == variant && !slices.ContainsFunc(keys, same) {
			keys = append(keys, s)
		}
	}
	slices.SortFunc(keys, func(a, b sample) int {
		if a.Recipients != b.Recipients {
			return a.Recipients - b.Recipients
		}
		return int(a.Size - b.Size)
	})
	return keys
}

func (r *results) memoryRows() [][]string {
	rows := [][]string{{"provider", "when", "MiB"}}
	for _, name := range slices.Sorted(maps.Keys(r.Peaks)) {
		rows = append(rows, []string{name, "10 KB, all sessions", fmt.Sprintf("%.0f", float64(r.Peaks[name])/(1<<20))})
	}
	if r.Crowd != nil {
		rows = append(rows, []string{local, "20 messages of 100 MB at once", fmt.Sprintf("%.0f", float64(r.CrowdPeak)/(1<<20))})
	}
	return rows
}

func (r *results) targetRows() [][]string {
	rows := [][]string{{"what", "wanted", "measured", ""}}
	for _, t := range r.Targets {
		verdict := "missed"
		if t.Reached {
			verdict = "reached"
		}
		rows = append(rows, []string{t.What, t.Wanted, fmt.Sprintf("%.2f", t.Measured), verdict})
	}
	return rows
}
