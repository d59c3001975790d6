package pec

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// CertificationDataName is the name of the attachment that carries the
// certification data. QUIRK: RFC 6109 section 4.3.3 says certdata.xml; all real
// messages say daticert.xml.
const CertificationDataName = "daticert.xml"

// XML is the certification data as daticert.xml: UTF-8, no DOCTYPE, valid
// against the DTD of RFC 6109 section 4.4. Characters that XML 1.0 forbids
// become U+FFFD.
func (d *CertificationData) XML() []byte {
	w := &xmlWriter{}
	w.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	w.open("postacert", "tipo", string(d.Kind), "errore", string(orNoError(d.Error)))
	d.writeHeading(w)
	d.writeData(w)
	w.close("postacert")
	return w.Bytes()
}

func orNoError(e ErrorKind) ErrorKind {
	if e == "" {
		return NoError
	}
	return e
}

func (d *CertificationData) writeHeading(w *xmlWriter) {
	w.open("intestazione")
	w.element("mittente", d.Sender)
	for _, r := range d.Recipients {
		w.element("destinatari", r.Address, "tipo", string(r.Kind))
	}
	w.element("risposte", d.ReplyTo)
	w.element("oggetto", d.Subject)
	w.close("intestazione")
}

func (d *CertificationData) writeData(w *xmlWriter) {
	t := LegalTime(d.Time)
	w.open("dati")
	w.element("gestore-emittente", d.Provider)
	w.open("data", "zona", t.Format(zoneLayout))
	w.element("giorno", t.Format(dayLayout))
	w.element("ora", t.Format(hourLayout))
	w.close("data")
	w.element("identificativo", d.ID)
	w.optional("msgid", d.Reference)
	if d.ReceiptType != "" {
		w.element("ricevuta", "", "tipo", string(d.ReceiptType))
	}
	w.optional("consegna", d.Delivered)
	for _, address := range d.TakenFor {
		w.element("ricezione", address)
	}
	w.optional("errore-esteso", d.Detail)
	w.close("dati")
}

// xmlWriter writes elements with their text escaped.
type xmlWriter struct{ bytes.Buffer }

func (w *xmlWriter) raw(s string) { w.WriteString(s) }

// open writes a start tag on a line of its own; attributes are pairs of name
// and value.
func (w *xmlWriter) open(name string, attributes ...string) {
	w.start(name, attributes)
	w.raw("\n")
}

func (w *xmlWriter) start(name string, attributes []string) {
	w.raw("<" + name)
	for i := 0; i+1 < len(attributes); i += 2 {
		w.raw(" " + attributes[i] + `="` + escapeXML(attributes[i+1]) + `"`)
	}
	w.raw(">")
}

func (w *xmlWriter) close(name string) { w.raw("</" + name + ">\n") }

func (w *xmlWriter) element(name, text string, attributes ...string) {
	w.start(name, attributes)
	w.raw(escapeXML(text))
	w.close(name)
}

func (w *xmlWriter) optional(name, text string) {
	if text != "" {
		w.element(name, text)
	}
}

// escapeXML escapes text for an element or an attribute; characters outside
// XML 1.0 become U+FFFD.
func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a strings.Builder does not fail
	return b.String()
}
