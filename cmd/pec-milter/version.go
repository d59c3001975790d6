package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/pec-milter/pec-milter/hsm"
)

type versionCommand struct{}

// Run prints the module's version, the revision it was built from, and which of the
// two builds it is.
func (versionCommand) Run(o out) error {
	version, revision := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	build := "without PKCS#11"
	if hsm.WithPKCS11 {
		build = "with PKCS#11"
	}
	_, err := fmt.Fprintf(o, "pec-milter %s%s %s %s\n", version, revision, runtime.Version(), build)
	return err
}
