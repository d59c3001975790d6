package metrics

import "github.com/prometheus/client_golang/prometheus"

var (
	tokenOpen     = gauge("token_open", "1 if we are logged in to the PKCS#11 token, else 0.", "token")
	tokenSigns    = gauge("token_signs", "1 if the token signed when it was last asked, as every minute, else 0.", "token")
	tokenSessions = gauge("token_sessions", "How many sessions of the token may be in use at once: signer.sessions.", "token")
	tokenInUse    = gauge("token_sessions_in_use", "Sessions of the token that signatures are made in, or wait for at a token that allows fewer; those that hang are among them.", "token")
	tokenWaiting  = gauge("token_sessions_waited", "Signatures that wait for a session of the token to become free.", "token")
	tokenLosses   = gauge("token_losses_total", "How often the login to the token was lost; it is made again by itself.", "token")
)

// Token is how a PKCS#11 token is used at one moment.
type Token struct {
	Name     string // module, and label, serial or slot
	Open     bool   // we are logged in
	Signs    bool   // it did when it was last probed
	Sessions int    // how many may be in use at once
	InUse    int
	Waiting  int   // signatures that wait for a session
	Lost     int64 // losses of the login since the start
}

// collectTokens tells of all tokens.
func (s *scrape) collectTokens(to chan<- prometheus.Metric, tell tellFunc) {
	for _, t := range s.Tokens() {
		tell(tokenOpen, boolean(t.Open), t.Name)
		tell(tokenSigns, boolean(t.Signs), t.Name)
		tell(tokenSessions, float64(t.Sessions), t.Name)
		tell(tokenInUse, float64(t.InUse), t.Name)
		tell(tokenWaiting, float64(t.Waiting), t.Name)
		to <- prometheus.MustNewConstMetric(tokenLosses, prometheus.CounterValue, float64(t.Lost), t.Name)
	}
}
