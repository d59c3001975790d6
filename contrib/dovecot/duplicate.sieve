# Runs before every script of a user (sieve_before). pec-milter stores at least
# once: after a crash it may store a message again, with the same trace header.
# The header carries an HMAC of the delivery: nobody else can forge one, so that
# nobody can make a message of somebody else vanish (a Message-ID can be forged).
require ["duplicate", "variables", "vnd.dovecot.execute"];

if allof (exists "X-PEC-Milter-Trace", duplicate :header "X-PEC-Milter-Trace") {
	discard;
	stop;
}

# Dovecot stores a message first and remembers it then: killed in between, it has the
# one without the other. pec-milter knows that it hands over a message again, and
# says so. Only then the mailbox is looked through.
if allof (exists "X-PEC-Milter-Repeat", header :matches "X-PEC-Milter-Trace" "*") {
	if execute "stored" ["${1}"] {
		discard;
		stop;
	}
}
