package pec_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/pec-milter/pec-milter/internal/testpki"
	"github.com/pec-milter/pec-milter/pec"
)

// forged is a message signed by value, whatever that is: alfa's attributes, a
// certificate for another key.
func forged(t *testing.T, certificate *testpki.Credential, value func(digest [32]byte) []byte, algorithm ...pkix.AlgorithmIdentifier) string {
	t.Helper()
	content := sha256.Sum256([]byte(signedContent))
	attributes := must(asn1.MarshalWithParams([]cmsAttribute{{oidContentType, []any{oidData}}, {oidMessageDigest, []any{content[:]}}}, "set"))
	digest := sha256.Sum256(attributes)
	attributes[0] = 0xa0
	return signedMessage(signedContent, signedData(certificate.Certificate(), oneSigner(t, attributes, value(digest), algorithm...)))
}

// asAlfa certifies a key under alfa's issuer and serial number.
func asAlfa(t *testing.T, key crypto.PublicKey) *testpki.Credential {
	t.Helper()
	s := testSigners()
	c, err := s.issuing.CertifyProvider("Alfa", serviceAddress, key, func(c *x509.Certificate) { c.SerialNumber = s.alfa.Certificate().SerialNumber })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sha256Prefix begins what PKCS#1 v1.5 signs: the DigestInfo of SHA-256.
var sha256Prefix = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// TestForgedValue: SG-25, signatures made without the key, or with the key but
// not as the standard has it: Bleichenbacher's of 2006 (a cube root, with
// garbage where the padding should be), and those of sloppy encoders.
func TestForgedValue(t *testing.T) {
	key := testSigners().alfa.Key.(*rsa.PrivateKey)
	cubic := rsaPublic(2048, 3)
	for _, test := range []struct {
		name  string
		key   crypto.PublicKey
		value func([32]byte) []byte
		good  bool
	}{
		{"SG-25 as it must be", key.Public(), func(d [32]byte) []byte { return padded(key, block(0xff, info(d), 0)) }, true},
		{"SG-25 exponent 3, garbage after the digest", cubic, func(d [32]byte) []byte { return cubeRoot(d, 8) }, false},
		{"SG-25 exponent 3, no padding", cubic, func(d [32]byte) []byte { return cubeRoot(d, 0) }, false},
		{"SG-25 garbage after the digest", key.Public(), func(d [32]byte) []byte { return padded(key, block(0xff, info(d), 20)) }, false},
		{"SG-25 padding of another byte", key.Public(), func(d [32]byte) []byte { return padded(key, block(0xfe, info(d), 0)) }, false},
		{"SG-25 digest without its algorithm", key.Public(), func(d [32]byte) []byte { return padded(key, block(0xff, d[:], 0)) }, false},
		{"SG-25 algorithm without NULL", key.Public(), func(d [32]byte) []byte { return padded(key, block(0xff, noNull(d), 0)) }, false},
		{"SG-25 length in BER", key.Public(), func(d [32]byte) []byte {
			return padded(key, block(0xff, append([]byte{0x30, 0x81, 0x31}, info(d)[2:]...), 0))
		}, false},
		{"SG-25 zero", key.Public(), func([32]byte) []byte { return make([]byte, 256) }, false},
		{"SG-25 one", key.Public(), func([32]byte) []byte { return append(make([]byte, 255), 1) }, false},
		{"SG-25 a byte too long", key.Public(), func(d [32]byte) []byte { return append([]byte{0}, padded(key, block(0xff, info(d), 0))...) }, false},
		{"SG-25 the modulus added", key.Public(), func(d [32]byte) []byte {
			return new(big.Int).Add(new(big.Int).SetBytes(padded(key, block(0xff, info(d), 0))), key.N).Bytes()
		}, false},
		{"SG-25 empty", key.Public(), func([32]byte) []byte { return nil }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := forged(t, asAlfa(t, test.key), test.value)
			if test.good {
				if _, err := verify(t, text); err != nil {
					t.Errorf("got %v, want a good signature", err)
				}
				return
			}
			checkRefused(t, text, pec.ErrBadSignature, "verification error")
		})
	}
}

func info(d [32]byte) []byte { return append(append([]byte{}, sha256Prefix...), d[:]...) }

// noNull is the DigestInfo with the parameters of the algorithm left out.
func noNull(d [32]byte) []byte {
	b := append([]byte{0x30, 0x2f, 0x30, 0x0b}, sha256Prefix[4:15]...)
	return append(append(b, 0x04, 0x20), d[:]...)
}

// block is an encoded message of 256 bytes, with so much garbage at its end.
func block(padding byte, content []byte, garbage int) []byte {
	b := []byte{0, 1}
	for len(b) < 256-1-len(content)-garbage {
		b = append(b, padding)
	}
	b = append(append(b, 0), content...)
	for len(b) < 256 {
		b = append(b, 0xaa)
	}
	return b
}

// padded signs an encoded message as it is.
func padded(key *rsa.PrivateKey, message []byte) []byte {
	return new(big.Int).Exp(new(big.Int).SetBytes(message), key.D, key.N).FillBytes(make([]byte, 256))
}

// cubeRoot is the number whose cube begins like a signature with so much padding.
func cubeRoot(d [32]byte, padding int) []byte {
	begin := []byte{0, 1}
	for range padding {
		begin = append(begin, 0xff)
	}
	begin = append(append(begin, 0), info(d)...)
	target := new(big.Int).SetBytes(append(begin, make([]byte, 256-len(begin))...))
	low, high := big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), 700)
	for one := big.NewInt(1); new(big.Int).Sub(high, low).Cmp(one) > 0; {
		mid := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
		if new(big.Int).Exp(mid, big.NewInt(3), nil).Cmp(target) < 0 {
			low = mid
		} else {
			high = mid
		}
	}
	return high.FillBytes(make([]byte, 256))
}

// TestForgedECDSA: SG-25, values that some implementations took: zeros, numbers
// that are not below the order, encodings that are not DER.
func TestForgedECDSA(t *testing.T) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	order := elliptic.P256().Params().N
	encode := func(r, s *big.Int) []byte { return must(asn1.Marshal(struct{ R, S *big.Int }{r, s})) }
	numbers := func(d [32]byte) (r, s *big.Int) {
		r, s, err := ecdsa.Sign(rand.Reader, key, d[:])
		if err != nil {
			t.Fatal(err)
		}
		return r, s
	}
	by := asAlfa(t, key.Public())
	algorithm := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	if _, err := verify(t, forged(t, by, func(d [32]byte) []byte { return encode(numbers(d)) }, algorithm)); err != nil {
		t.Fatalf("as it must be: %v", err)
	}
	for name, value := range map[string]func([32]byte) []byte{
		"SG-25 zeros":     func([32]byte) []byte { return encode(new(big.Int), new(big.Int)) },
		"SG-25 the order": func([32]byte) []byte { return encode(order, order) },
		"SG-25 r too large": func(d [32]byte) []byte {
			r, s := numbers(d)
			return encode(r.Add(r, order), s)
		},
		"SG-25 bytes after it": func(d [32]byte) []byte { return append(encode(numbers(d)), 0) },
		"SG-25 negative": func(d [32]byte) []byte {
			r, s := numbers(d)
			return encode(r, s.Sub(s, order))
		},
		"SG-25 not ASN.1": func(d [32]byte) []byte { return d[:] },
	} {
		t.Run(name, func(t *testing.T) {
			checkRefused(t, forged(t, by, value, algorithm), pec.ErrBadSignature, "verification error")
		})
	}
}
