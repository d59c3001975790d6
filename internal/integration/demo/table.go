package main

import (
	"fmt"
	"strings"
)

// result is a scenario in the table at the end: a row for each thing that was due
// or has happened.
type result struct {
	name string
	rows []row
}

type row struct{ expected, got string }

func (r row) ok() bool { return r.expected == r.got }

// ok tells whether all is as expected; what has no rows was not played.
func (r result) ok() bool {
	for _, row := range r.rows {
		if !row.ok() {
			return false
		}
	}
	return len(r.rows) > 0
}

// judgement is the row for what the judges say: openssl, xmllint, the legal logs.
const judgement = "all signed, valid and logged"

// result is what came of the scene; failure is the error of playing it. Its details
// stand among the checks of the scene.
func (s *scene) result(failure error) result {
	return result{s.scenario.name, rowsOf(s.compared(), s.judged, failure)}
}

func rowsOf(pairs []pair, judged, failure error) []row {
	var rows []row
	good := true
	for _, p := range pairs {
		r := row{p.expected.short(), p.got.short()}
		rows = append(rows, r)
		good = good && r.ok()
	}
	last := row{judgement, judgement}
	if judged != nil {
		last.got = "no: see its checks"
	} else if good && failure != nil {
		last.got = fmt.Sprintf("error: %v", failure)
	}
	return append(rows, last)
}

// The columns of the table: with the spaces between them, a line of 99.
const (
	nameWidth = 17
	cellWidth = 38
)

// table is the end of a demo with scenarios.
func (p *page) table(results []result) {
	p.heading("Expected and got")
	p.line("%s", p.style(faint, tableLine("scenario", "expected", "got", "")))
	for _, r := range results {
		p.result(r)
	}
	bad := 0
	for _, r := range results {
		if !r.ok() {
			bad++
		}
	}
	if bad == 0 {
		p.line("\n%s", p.style(green, fmt.Sprintf("%d scenarios, all as expected", len(results))))
		return
	}
	p.line("\n%s", p.style(red, fmt.Sprintf("%d of %d scenarios not as expected", bad, len(results))))
}

func (p *page) result(r result) {
	name := r.name
	for _, row := range r.rows {
		verdict := p.style(green, "ok")
		if !row.ok() {
			verdict = p.style(red, "BAD")
		}
		p.line("%s", tableLine(name, row.expected, row.got, verdict))
		name = ""
	}
}

func tableLine(name, expected, got, verdict string) string {
	return strings.TrimRight(fmt.Sprintf("%-*s %-*s %-*s %s", nameWidth, name,
		cellWidth, fit(expected), cellWidth, fit(got), verdict), " ")
}

// fit makes a text one line that is no wider than a cell.
func fit(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= cellWidth {
		return string(runes)
	}
	return string(runes[:cellWidth-1]) + "…"
}
