package pec

import "crypto/x509"

// Deviations are what a signer's certificate has otherwise than RFC 6109
// section 5.5.2 demands; none for a certificate that follows it. They are worth
// a line in the log, no more: the directory lists the certificate, and a
// provider whose authority was careless still delivers mail.
func Deviations(c *x509.Certificate) []string {
	var odd []string
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{c.KeyUsage&x509.KeyUsageDigitalSignature == 0, "no key usage digitalSignature"},
		{c.BasicConstraintsValid, "basic constraints, which only authorities need"},
		{len(c.EmailAddresses) == 0, "no mail address in the subject alternative name"},
		{len(c.AuthorityKeyId) == 0, "no authority key identifier"},
		{len(c.SubjectKeyId) == 0, "no subject key identifier"},
	} {
		if rule.broken {
			odd = append(odd, rule.text)
		}
	}
	return odd
}
