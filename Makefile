# make demo    two PEC providers exchange a certified message (needs root)
# make demo MTA=sendmail
#              likewise, with Sendmail in the place of Postfix
# make demo SCENARIO=all
#              and then also refusals, viruses, failures, ordinary mail, time-outs
# make test    everything, with real servers (needs root)
# make faults  faults under load at every step, for most of an hour (needs root)
# make nodes   two nodes of a provider, and what can befall them (needs root)
# make containers
#              contrib/docker: two providers in containers, one of them killed under load (needs root)
# make bench   what pec-milter costs, beside others, in 20 minutes (needs root)
# make bench QUICK=1
#              the same in a few minutes
# make check   the quick one: format, vet, staticcheck, race
# make bench-log
#              search in 10 million rows of the legal log, and the audit of a day of a million
# make explore everything that can go wrong, up to 3 times in one execution
# make fuzz    every fuzz target for FUZZTIME, one after the other
# make build   build/pec-milter, with PKCS#11
# make static  build/pec-milter-static: key files only, and it needs no library
# make deb     the Debian package, in build
# make clean
#
# demo, test, faults, nodes, containers, bench and deb do all of their own set-up on Debian 12: contrib/debian/setup.sh.

GO          ?= go
FUZZTIME    ?= 60s
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The daemon of the tests: its clock can be moved, and faults be injected.
TEST_BUILD = movableclock,faults

# PKCS#11 and the race detector are C.
export CGO_ENABLED = 1

.PHONY: build static deb build-movable demo demo-stop test faults nodes containers bench bench-log check explore fuzz format clean setup

build:
	$(GO) build -o build/pec-milter ./cmd/pec-milter

static:
	CGO_ENABLED=0 $(GO) build -o build/pec-milter-static ./cmd/pec-milter

deb:
	@contrib/debian/setup.sh package
	$(GO) build -buildmode=pie -trimpath -o build/pec-milter-deb ./cmd/pec-milter
	contrib/debian/package.sh build/pec-milter-deb build

# For scenarios alone: its clock can be moved, so it is not for real mail.
build-movable:
	$(GO) build -tags movableclock -o build/pec-milter-demo ./cmd/pec-milter

# make demo KEEP=1 leaves the servers running for a mail client, until
# make demo-stop. SCENARIO=name plays that one after the main job. What go run
# runs cannot give its exit code.
demo: setup build $(if $(SCENARIO),build-movable)
	@$(GO) build -o build/run-demo ./internal/integration/demo
	@build/run-demo $(if $(MTA),-mta "$(MTA)") $(if $(KEEP),-keep) $(if $(SCENARIO),-scenario "$(SCENARIO)")

demo-stop:
	@$(GO) run ./internal/integration/demo -stop

test:
	@contrib/debian/setup.sh test
	$(GO) vet ./...
	$(GO) vet -tags integration ./internal/integration/...
	$(GO) vet -tags $(TEST_BUILD) ./cmd/...
	$(GO) test -race -count=1 -timeout 30m ./...
	$(GO) test -count=1 -tags $(TEST_BUILD) ./cmd/...
	CGO_ENABLED=0 $(GO) test -count=1 -run 'TestScripts|TestBuiltWithoutPKCS11' ./cmd/pec-milter ./hsm # as in make static
	$(GO) test -count=1 ./internal/explore -args -faults 1
	$(GO) test -count=1 -run 'TestMillionBadFrames|TestManyLarge' ./milter # at their full size
	$(GO) test -count=1 -run 'TestLarge' ./internal/legallog # likewise
	$(GO) test -count=1 -timeout 45m -tags integration ./internal/integration/...

# make faults FAULTS=FP-14,FP-20 tries these points alone, BACKENDS=sqlite (or
# servers) with that backend alone, MTA=sendmail providers with Sendmail. The tables
# are left in build; docs/faults.md says how to read them. Both backends run at the same
# time, for a row waits as much as it works; WORLDS=2, two rows of each at once, is
# for more than two cores.
BACKENDS ?= sqlite servers
WORLDS   ?= 1

faults: setup
	@mkdir -p build; running=; for backend in $(BACKENDS); do \
		FAULTS=$(FAULTS) FAULTS_MTA=$(MTA) FAULTS_BACKEND=$$backend FAULTS_WORLDS=$(WORLDS) FAULTS_TABLE=$(CURDIR)/build/faults-$$backend$(addprefix -,$(MTA)).txt \
		$(GO) test -count=1 -v -timeout 60m -tags integration,faults -run 'TestFaults$$' ./internal/integration & running="$$running $$!"; \
	done; failed=; for one in $$running; do wait $$one || failed=yes; done; test -z "$$failed"

# make nodes NODES=FP-41,REDIS tries these rows alone. The table is left in
# build/nodes.txt.
nodes: setup
	@mkdir -p build
	NODES_TABLE=$(CURDIR)/build/nodes.txt NODES=$(NODES) \
		$(GO) test -count=1 -v -timeout 60m -tags integration,nodes -run 'TestNodes$$' ./internal/integration

# make test has pec-milter alone in a container.
containers:
	@contrib/debian/setup.sh test
	$(GO) test -count=1 -v -timeout 60m -tags integration,containers -run 'TestContainers$$' ./internal/integration

# The results are left in build/bench; docs/performance.md says how to read them.
bench:
	@contrib/debian/setup.sh bench
	@$(GO) build -tags measured -o build/pec-milter-bench ./cmd/pec-milter
	@$(GO) build -o build/run-bench ./internal/integration/bench
	@build/run-bench -mode $(if $(QUICK),quick,full)

check: format
	$(GO) vet ./...
	$(GO) vet -tags integration,faults,nodes,containers ./internal/integration/...
	$(STATICCHECK) -tags integration ./...
	$(STATICCHECK) -tags integration,faults,nodes,containers ./internal/integration/...
	$(STATICCHECK) -tags $(TEST_BUILD) ./cmd/...
	$(STATICCHECK) -tags measured ./cmd/...
	$(GO) test -race -count=1 -timeout 30m ./...

# LOG_ROWS=1000000 for fewer; TMPDIR needs 2 GB for each million.
LOG_ROWS ?= 10000000
LOG_DAY  ?= 1000000

bench-log:
	$(GO) test -count=1 -v -timeout 12h -run TestLarge ./internal/legallog -args -rows $(LOG_ROWS) -day $(LOG_DAY)

explore:
	$(GO) test -count=1 -v -timeout 30m -run TestExplore ./internal/explore -args -faults 3

# Without the bound on minimizing, the first large seed takes all the time.
fuzz:
	@grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\)(.*/\1/p' $$file); do \
			echo "$$file: $$name"; \
			$(GO) test ./$$(dirname $$file) -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x || exit 1; \
		done; \
	done

format:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: run gofmt -w on:" $$unformatted; exit 1; }

setup:
	@contrib/debian/setup.sh $(filter sendmail,$(MTA))

clean:
	rm -rf build
