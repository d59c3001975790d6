# Runs before every script of a user (sieve_before). pec-milter stores at least
# once: after a crash it may store a message again, with the same trace header.
# The header carries an HMAC of the delivery: nobody else can forge one, so that
# nobody can make a message of somebody else vanish (a Message-ID can be forged).
require "duplicate";

if allof (exists "X-PEC-Milter-Trace", duplicate :header "X-PEC-Milter-Trace") {
	discard;
	stop;
}
