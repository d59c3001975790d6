package pec_test

import (
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// open opens a saved message.
func open(path string) (*os.File, pec.Message) {
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	message, err := pec.ReadMessage(file, info.Size())
	if err != nil {
		log.Fatal(err)
	}
	return file, message
}

// trusted has one authority; a real one has all that the supervisor of PEC names,
// the providers directory, and revocation lists.
func trusted() *pec.Trust {
	authority, err := os.ReadFile("testdata/pki/ca.pem")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &pec.Trust{Roots: roots}
}

// Example verifies a delivery receipt, and shows what it certifies. It is read
// where it lies: memory does not grow with its size.
func Example() {
	file, err := os.Open("testdata/golden/07-avvenuta-consegna-completa/want.eml")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	trust, now := trusted(), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

	message, err := pec.ReadMessage(file, info.Size())
	if err != nil {
		log.Fatal(err)
	}
	report, err := pec.Verify(message, pec.Verification{Trust: trust, Now: now, WithoutLists: true})
	if err != nil {
		log.Fatal(err) // the file cannot be read
	}
	for _, check := range report.Checks {
		if check.Result != pec.Passed {
			fmt.Println(check.Step, "-", check.Result)
		}
	}
	if !report.Genuine() {
		log.Fatal(report.Why)
	}
	data := report.Data
	fmt.Println(data.Kind, "for", data.Delivered, "at", data.Time.Format(time.RFC3339))
	fmt.Println(report.Original.Name(), report.Original.MediaType)

	// Output:
	// directory - not checked
	// revocation - not checked
	// domains - not checked
	// avvenuta-consegna for anna@pec.beta.example at 2026-03-14T10:26:53+01:00
	// postacert.eml message/rfc822
}

// The signature alone: whose it is, but not who that is.
func ExampleVerifySignature() {
	file, message := open("testdata/golden/07-avvenuta-consegna-completa/want.eml")
	defer file.Close()

	signature, err := pec.VerifySignature(message, nil)
	if err != nil {
		log.Fatal(err) // wraps pec.ErrNotSigned, pec.ErrBadSignature or pec.ErrStructure
	}
	data, _, err := pec.Parts(signature)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signature.Algorithm, signature.Addresses(), data.Kind)

	// Output:
	// SHA256-RSA [posta-certificata@pec.alfa.example] avvenuta-consegna
}

// A message as of a time in the past. (With AtSigning, as of when it was signed.)
// No providers directory and no revocation list are at hand, and the report says
// so: what is not checked does not count.
func ExampleVerify() {
	file, message := open("testdata/golden/03-accettazione/want.eml")
	defer file.Close()

	report, err := pec.Verify(message, pec.Verification{
		Trust: trusted(), WithoutLists: true,
		Now: time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC), At: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	if err != nil {
		log.Fatal(err) // the file cannot be read
	}
	fmt.Println("genuine:", report.Genuine())
	for _, check := range report.Checks {
		fmt.Println(check.Step, "-", check.Result)
	}

	// Output:
	// genuine: true
	// structure - good
	// signature - good
	// digest - good
	// certificate - good
	// directory - not checked
	// validity - good
	// chain - good
	// revocation - not checked
	// certification_data - good
	// original - good
	// from - good
	// kind - good
	// domains - not checked
	// headers - good
}

// A door of a provider leaves nothing out: without a directory nobody is trusted.
func ExampleClassify() {
	file, message := open("testdata/golden/01-posta-certificata/want.eml")
	defer file.Close()

	c, err := pec.Classify(message, trusted(), time.Date(2026, 3, 14, 10, 0, 0, 0, time.UTC))
	if err != nil {
		log.Fatal(err) // try again later: errors.Is(err, pec.ErrRevocationUnknown), or the message cannot be read
	}
	fmt.Println(c.Kind, c.Correct(), c.Problems)

	// Output:
	// posta-certificata false [la firma digitale del messaggio non risulta attendibile]
}

// A receipt that is attached to an ordinary message, or that a mailing list took
// apart, is found where it is.
func ExampleWalkPEC() {
	file, message := open("testdata/nested/forwarded-receipt.eml")
	defer file.Close()

	err := pec.WalkPEC(message, func(found pec.Found) error {
		report, err := pec.Verify(found.Message, pec.Verification{
			Trust: trusted(), Now: time.Date(2027, 3, 15, 0, 0, 0, 0, time.UTC), WithoutLists: true, Root: found.Root, Bare: found.Bare,
		})
		if err != nil {
			return err
		}
		fmt.Println("part", found.Place, "is a genuine", report.Kind+":", report.Genuine())
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}

	// Output:
	// part 2 is a genuine accettazione: true
}
