package explore

import (
	"slices"

	"github.com/pec-milter/pec-milter/pec"
)

// due is what must have arrived for all that came into our queue, sorted.
func (r *run) due() []string {
	lines := slices.Clone(r.before)
	for name := range r.w.memory.queued.all() {
		lines = append(lines, r.dueFor(name)...)
	}
	for notice := range r.w.memory.timeouts.all() {
		lines = append(lines, notice)
	}
	slices.Sort(lines)
	return lines
}

// dueFor is what is due for one message.
func (r *run) dueFor(name string) []string {
	for _, i := range r.w.sql.intents.all() {
		d := &i.Facts.Data
		switch {
		case transactionName(i.ID) == name:
			return []string{line(d.Sender, pec.NonAcceptance, d.ID, "")}
		case d.ID == name && d.Provider == r.identity.Name:
			return append(r.dueOf(d, r.identity.MailReceipt), line(d.Sender, pec.Acceptance, d.ID, ""))
		case d.ID == name:
			return r.dueOf(d, i.Facts.MailReceipt)
		}
	}
	return []string{"nothing is recorded of " + name}
}

// dueOf is what is due for an envelope: the envelope to each recipient, and the
// notices about those that are ours.
func (r *run) dueOf(d *pec.CertificationData, mailReceipt string) []string {
	var lines []string
	for _, recipient := range d.Recipients {
		to := recipient.Address
		if pec.Domain(to) != r.identity.Domain {
			if d.Provider == r.identity.Name {
				lines = append(lines, line(to, pec.Envelope, d.ID, ""))
			}
			continue
		}
		lines = append(lines, line(mailReceipt, pec.ServerAcceptance, d.ID, to))
		switch {
		case r.infected:
			lines = append(lines, line(mailReceipt, pec.VirusDetection, d.ID, to))
		case slices.Contains(r.full, to):
			lines = append(lines, line(d.Sender, pec.NonDelivery, d.ID, to))
		default:
			lines = append(lines, line(to, pec.Envelope, d.ID, ""), line(d.Sender, pec.Delivery, d.ID, to))
		}
	}
	return lines
}
