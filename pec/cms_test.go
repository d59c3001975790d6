package pec_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Object identifiers of what the tests put together.
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
)

type cmsAttribute struct {
	Type   asn1.ObjectIdentifier
	Values []any `asn1:"set"`
}

// customCMS signs, with alfa's key, any signed attributes; what is signed of
// them is their DER.
func customCMS(t testing.TB, attributes ...cmsAttribute) []byte {
	t.Helper()
	set := must(asn1.MarshalWithParams(attributes, "set"))
	digest := sha256.Sum256(set)
	set[0] = 0xa0
	return wrapSigner(t, set, must(testSigners().alfa.Key.Sign(rand.Reader, digest[:], crypto.SHA256)))
}

// wrapSigner makes the whole signature.
func wrapSigner(t testing.TB, attributes, value []byte) []byte {
	t.Helper()
	return signedData(testSigners().alfa.Certificate(), oneSigner(t, attributes, value))
}

// oneSigner makes the SignerInfo for alfa: RSA, unless an algorithm is given.
func oneSigner(t testing.TB, attributes, value []byte, algorithm ...pkix.AlgorithmIdentifier) []byte {
	t.Helper()
	certificate := testSigners().alfa.Certificate()
	algorithm = append(algorithm, pkix.AlgorithmIdentifier{Algorithm: oidRSA})
	type name struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	return must(asn1.Marshal(struct {
		Version    int
		ID         name
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue
		Signature  pkix.AlgorithmIdentifier
		Value      []byte
	}{1, name{asn1.RawValue{FullBytes: certificate.RawIssuer}, certificate.SerialNumber},
		pkix.AlgorithmIdentifier{Algorithm: oidSHA256}, asn1.RawValue{FullBytes: attributes}, algorithm[0], value}))
}

func signedData(certificate *x509.Certificate, signers []byte) []byte {
	type contentInfo struct{ Type asn1.ObjectIdentifier }
	data := must(asn1.Marshal(struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      contentInfo
		Certificates asn1.RawValue
		Signers      asn1.RawValue
	}{1, nil, contentInfo{oidData}, contextual(0, certificate.Raw), asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: signers}}))
	return must(asn1.Marshal(struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}{oidSignedData, contextual(0, data)}))
}

func contextual(tag int, content []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: content}
}

// TestPSSParameters: what a signature algorithm RSASSA-PSS may say.
func TestPSSParameters(t *testing.T) {
	digest := sha256.Sum256([]byte(signedContent))
	oidPSS, oidMGF1 := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidSHA512 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	attributes := must(asn1.MarshalWithParams([]cmsAttribute{{oidContentType, []any{oidData}}, {oidMessageDigest, []any{digest[:]}}}, "set"))
	hash := sha256.Sum256(attributes)
	value := must(testSigners().alfa.Key.Sign(rand.Reader, hash[:], &rsa.PSSOptions{SaltLength: 20, Hash: crypto.SHA256}))
	attributes[0] = 0xa0
	type parameters struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		MGF     pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
		Salt    int                      `asn1:"explicit,tag:2"`
		Trailer int                      `asn1:"explicit,tag:3"`
	}
	for _, test := range []struct {
		name            string
		hash, mgf, mask asn1.ObjectIdentifier
		salt, trailer   int
		good            bool
	}{
		{"right", oidSHA256, oidMGF1, oidSHA256, 20, 1, true},
		{"other hash", oidSHA512, oidMGF1, oidSHA256, 20, 1, false},
		{"other mask generation", oidSHA256, oidRSA, oidSHA256, 20, 1, false},
		{"other hash in the mask generation", oidSHA256, oidMGF1, oidSHA512, 20, 1, false},
		{"other trailer", oidSHA256, oidMGF1, oidSHA256, 20, 2, false},
		{"no salt", oidSHA256, oidMGF1, oidSHA256, 0, 1, false},
		{"other salt", oidSHA256, oidMGF1, oidSHA256, 32, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			mask := must(asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: test.mask}))
			p := must(asn1.Marshal(parameters{pkix.AlgorithmIdentifier{Algorithm: test.hash},
				pkix.AlgorithmIdentifier{Algorithm: test.mgf, Parameters: asn1.RawValue{FullBytes: mask}}, test.salt, test.trailer}))
			signer := oneSigner(t, attributes, value, pkix.AlgorithmIdentifier{Algorithm: oidPSS, Parameters: asn1.RawValue{FullBytes: p}})
			sig, err := verify(t, signedMessage(signedContent, signedData(testSigners().alfa.Certificate(), signer)))
			if test.good != (err == nil) || err != nil && !errors.Is(err, pec.ErrBadSignature) {
				t.Errorf("got %v, %v, want a good signature: %v", sig, err, test.good)
			}
		})
	}
}

func TestSignedAttributes(t *testing.T) {
	digest := sha256.Sum256([]byte(signedContent))
	at := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	content := cmsAttribute{oidContentType, []any{oidData}}
	right := cmsAttribute{oidMessageDigest, []any{digest[:]}}
	wrong := cmsAttribute{oidMessageDigest, []any{make([]byte, 32)}}
	for _, test := range []struct {
		name       string
		attributes []cmsAttribute
		reason     string // empty: good
	}{
		{"the two that must be", []cmsAttribute{content, right}, ""},
		{"signing time", []cmsAttribute{content, right, {oidSigningTime, []any{at}}}, ""},
		{"one that is not known", []cmsAttribute{content, right, {asn1.ObjectIdentifier{1, 2, 3}, []any{1, 2}}}, ""},
		{"no content type", []cmsAttribute{right}, "content type"},
		{"content type is not data", []cmsAttribute{{oidContentType, []any{oidSignedData}}, right}, "content type"},
		{"no digest", []cmsAttribute{content}, "digest differs"},
		{"wrong digest", []cmsAttribute{content, wrong}, "digest differs"},
		{"two digests", []cmsAttribute{content, right, wrong}, "is there twice"},
		{"digest with two values", []cmsAttribute{content, {oidMessageDigest, []any{digest[:], make([]byte, 32)}}}, "more than one value"},
		{"digest is no octet string", []cmsAttribute{content, {oidMessageDigest, []any{1}}}, "signed attribute"},
		{"no attribute at all", nil, "content type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := signedMessage(signedContent, customCMS(t, test.attributes...))
			if test.reason != "" {
				checkRefused(t, text, pec.ErrBadSignature, test.reason)
				return
			}
			sig, err := verify(t, text)
			if err != nil {
				t.Fatal(err)
			}
			if want := test.name == "signing time"; want != sig.SigningTime.Equal(at) {
				t.Errorf("signing time is %v", sig.SigningTime)
			}
		})
	}
}

// TestSG33Bombs: SG-33, ASN.1 that claims to be much.
func TestSG33Bombs(t *testing.T) {
	const size = 1 << 20
	nested := func(n int) []byte {
		var b []byte
		for range n {
			b = append(must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true})), b...)
			b = must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: b}))
		}
		return b
	}
	certificate := testSigners().alfa.Certificate()
	huge := must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true,
		Bytes: must(asn1.Marshal(make([]byte, size/2)))}))
	onlySigner := must(asn1.Marshal(contextual(0, nil)))
	for _, test := range []struct {
		name   string
		ber    []byte
		reason string
	}{
		{"10,000 nested sequences", nested(10_000), "nested more than"},
		{"65 nested sequences", nested(65), "nested more than"},
		{"nested sequences of indefinite length", bytes.Repeat([]byte{0x30, 0x80}, size/2), "nested more than"},
		{"length of 2^31", []byte{0x30, 0x84, 0x80, 0, 0, 0, 0}, "longer than"},
		{"length of 2^31-1", []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0}, "longer than"},
		{"length in 127 octets", append([]byte{0x30, 0xff}, bytes.Repeat([]byte{0xff}, 127)...), "longer than"},
		{"no length", []byte{0x30}, "longer than"},
		{"octet string of 2^31 inside", []byte{0x30, 0x06, 0x04, 0x84, 0x7f, 0xff, 0xff, 0xff}, "longer than"},
		{"elements longer than what holds them", bytes.Repeat([]byte{0x30, 0x06, 0x30, 0x02, 0x30, 0x02}, 50), "longer than"},
		{"primitive of indefinite length", []byte{0x30, 0x80, 0x04, 0x80, 0, 0, 0, 0}, "primitive"},
		{"indefinite length without end", append([]byte{0x30, 0x80}, bytes.Repeat([]byte{4, 1, 1}, 1000)...), "longer than"},
		{"a million elements", append([]byte{0x30, 0x80}, bytes.Repeat([]byte{4, 1, 1}, size/3-1)...), "elements"},
		{"high tag numbers", []byte{0x3f, 0x81, 0x02, 0}, "tag number"},
		{"200,000 signers", signedData(certificate, bytes.Repeat([]byte{0x30, 0}, 200_000)), "elements"},
		{"50,000 signers", signedData(certificate, bytes.Repeat([]byte{0x30, 0}, 50_000)), "reading SignerInfo"},
		{"50,000 certificates", signedData(&x509.Certificate{Raw: bytes.Repeat([]byte{0x30, 0}, 50_000)}, oneSigner(t, onlySigner, nil)), "too many certificates"},
		{"a huge certificate", signedData(&x509.Certificate{Raw: huge}, oneSigner(t, onlySigner, nil)), "too large"},
		{"20,000 attributes", wrapSigner(t, must(asn1.Marshal(contextual(0, bytes.Repeat([]byte{0x30, 5, 6, 1, 0x29, 0x31, 0}, 20_000)))), nil), "there twice"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := signedMessage(signedContent, test.ber)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var sig *pec.Signature
			var err error
			took := fastest(func() { sig, err = verify(t, text) })
			runtime.ReadMemStats(&after)
			if sig != nil || !errors.Is(err, pec.ErrBadSignature) || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("got %v, %v, want ErrBadSignature: %s", sig, err, test.reason)
			}
			if took > 100*time.Millisecond*slowdown {
				t.Errorf("took %v, want less than 100ms (times %d)", took, slowdown)
			}
			if used := (after.TotalAlloc - before.TotalAlloc) / timings; used > 64<<20 {
				t.Errorf("took %d bytes of memory, want less than 64 MiB", used)
			}
		})
	}
}

// timings is how often what must be fast is tried: the machine may be busy.
const timings = 5

// fastest is the time of the fastest try.
func fastest(try func()) time.Duration {
	best := time.Hour
	for range timings {
		start := time.Now()
		try()
		best = min(best, time.Since(start))
	}
	return best
}
