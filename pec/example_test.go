package pec_test

import (
	"fmt"
	"log"
	"os"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

// Example reads a delivery receipt, verifies its signature, and shows what it
// certifies. Who signed it is for Trust.Provider to say, with the providers
// directory, the authorities and their revocation lists.
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

	message, err := pec.ReadMessage(file, info.Size())
	if err != nil {
		log.Fatal(err)
	}
	signature, err := pec.VerifySignature(message, nil)
	if err != nil {
		log.Fatal(err) // wraps pec.ErrNotSigned, pec.ErrBadSignature or pec.ErrStructure
	}
	data, original, err := pec.Parts(signature)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signature.Addresses())
	fmt.Println(data.Kind, "for", data.Delivered, "at", data.Time.Format(time.RFC3339))
	fmt.Println(original.Name(), original.MediaType)

	// Output:
	// [posta-certificata@pec.alfa.example]
	// avvenuta-consegna for anna@pec.beta.example at 2026-03-14T10:26:53+01:00
	// postacert.eml message/rfc822
}
