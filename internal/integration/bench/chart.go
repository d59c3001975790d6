package main

import (
	"fmt"
	"html"
	"strings"
)

// The measures of the chart, in pixels.
const (
	chartWidth = 860
	chartLeft  = 260 // of the bars
	chartBar   = 26  // height of one, with the space below it
)

// chart is an SVG picture of the throughput of each variant at the busiest
// sessions, as a part of that without a milter: a bar for the median, a line from
// the lowest round to the highest, a mark where the roofline is.
func (r *results) chart() string {
	sessions := busy
	if r.rate(plain, sessions) == nil && len(r.Rates) > 0 {
		sessions = r.Rates[len(r.Rates)-1].Sessions
	}
	var bars strings.Builder
	y, base := 60, r.rate(plain, sessions)
	for _, s := range r.Rates {
		if s.Sessions == sessions && base != nil {
			writeBar(&bars, y, s, s.Roofline.Median/base.PerSecond.Median)
			y += chartBar
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">
<rect width="100%%" height="100%%" fill="white"/>
<text x="10" y="22" font-size="15">Messages per second of 10 KB, %d sessions, as a part of those without a milter</text>
<text x="10" y="42" fill="#555">bar: median; line: lowest to highest round; red mark: roofline. %d cores, load average %.1f before.</text>
%s</svg>
`, chartWidth, y+10, sessions, r.Machine.Cores, r.Machine.LoadFirst, bars.String())
}

// scale is where a ratio is.
func scale(ratio float64) float64 {
	return chartLeft + min(ratio, 1.3)*(chartWidth-chartLeft-90)/1.3
}

func writeBar(b *strings.Builder, y int, s rate, roof float64) {
	fmt.Fprintf(b, `<text x="10" y="%d">%s</text>`+"\n", y+14, html.EscapeString(s.Variant))
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="#6b93c4"/>`+"\n", chartLeft, y, scale(s.VsPlain.Median)-chartLeft, chartBar-8)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%[2]d" stroke="black"/>`+"\n", scale(s.VsPlain.Lowest), y+9, scale(s.VsPlain.Highest))
	if s.Signatures > 0 {
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="2" height="%d" fill="#c00"/>`+"\n", scale(roof)-1, y-2, chartBar-4)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">%.2f</text>`+"\n", chartWidth-60, y+14, s.VsPlain.Median)
}
