#!/bin/sh
# Makes an existing Postfix (3.7 or later) the MTA of a PEC provider, and undoes it.
#
#   pec-milter-postfix.sh [-c CONFIG_DIR] apply DOMAIN...   the certified domains
#   pec-milter-postfix.sh [-c CONFIG_DIR] undo
#
# "apply" edits main.cf and master.cf with postconf and keeps the files as they
# were; run again, with other domains or settings, it starts from those. "undo"
# takes back what apply changed and leaves alone what was edited since. Neither
# reloads Postfix. README.md beside this file says how to put it to use.
#
# Settings, from the environment:
: "${PEC_INCOMING=smtp}"             # master.cf service that takes mail from the world
: "${PEC_SUBMISSION=submission}"     # service for our users, STARTTLS; empty: none
: "${PEC_SUBMISSIONS=submissions}"   # service for our users, TLS at once; empty: none
: "${PEC_INJECT=127.0.0.1:10027}"    # where the notices of pec-milter come in: loopback
: "${PEC_SOCKETS=pec-milter}"        # directory of pec-milter's sockets, below the queue directory
: "${PEC_ACCESS_DOOR=unix:$PEC_SOCKETS/access.sock}"     # where it listens, as a socket of Postfix: the access door,
: "${PEC_INCOMING_DOOR=unix:$PEC_SOCKETS/incoming.sock}" # the incoming door,
: "${PEC_DELIVERY_DOOR=unix:$PEC_SOCKETS/delivery.sock}" # the delivery door (LMTP)
: "${PEC_SASL=private/auth}"         # Dovecot's socket that authenticates users, likewise
: "${PEC_MAX_SIZE=134217728}"        # bytes of the largest message that a user may submit
: "${PEC_TLS_POLICY=}"               # table for peers; empty: texthash:CONFIG_DIR/pec-milter-tls-policy
set -eu

dir=$(postconf -dh config_directory)
outbox=outbox.pec-milter.invalid

main() {
	if [ "${1-}" = -c ]; then
		dir=$2
		shift 2
	fi
	saved=$dir/pec-milter-saved
	domains_file=$dir/pec-milter-domains
	: "${PEC_TLS_POLICY:=texthash:$dir/pec-milter-tls-policy}"
	case ${1-} in
	apply)
		shift
		apply "$@"
		;;
	undo) undo ;;
	*)
		echo 'usage: pec-milter-postfix.sh [-c CONFIG_DIR] apply DOMAIN... | undo' >&2
		exit 64
		;;
	esac
}

# apply works on copies: a fault on the way leaves everything as it was, and a
# running Postfix never sees half of the settings.
apply() {
	check "$@"
	if [ -d "$saved" ]; then
		undo
	fi
	copy_to "$(mktemp -d)"
	trap 'rm -rf "$work"' EXIT
	settings
	mkdir -p "$saved/applied"
	cp -p "$dir/main.cf" "$dir/master.cf" "$saved"
	cp -p "$work/main.cf" "$work/master.cf" "$saved/applied"
	write_domains "$@"
	install_files "$work"
	mkdir -p "$(value queue_directory)/$PEC_SOCKETS"
}

settings() {
	keep_originals
	limit_sizes
	keep_time
	ask_the_milter
	require_tls
	route
	cleanup_service
	incoming_service
	for name in $PEC_SUBMISSION $PEC_SUBMISSIONS; do
		submission_service "$name"
	done
	inject_service
	refuse_outbox_everywhere
}

# install_files DIRECTORY puts its main.cf and master.cf in force, each at once.
install_files() {
	for file in main.cf master.cf; do
		cp -p "$1/$file" "$dir/$file.new"
		touch "$dir/$file.new"
		mv "$dir/$file.new" "$dir/$file"
	done
}

# undo puts the files back as they were. Where one was edited since, it takes
# back only what apply changed: settings of main.cf, services of master.cf.
undo() {
	if [ ! -d "$saved" ]; then
		echo "$dir: nothing to undo" >&2
		return
	fi
	mkdir -p "$saved/undone"
	copy_to "$saved/undone"
	if cmp -s "$dir/main.cf" "$saved/applied/main.cf"; then
		cp -p "$saved/main.cf" "$work"
	else
		undo_settings
	fi
	if cmp -s "$dir/master.cf" "$saved/applied/master.cf"; then
		cp -p "$saved/master.cf" "$work"
	else
		undo_services
	fi
	install_files "$work"
	rmdir "$(value queue_directory)/$PEC_SOCKETS" 2>/dev/null || true # in use
	rm -r "$saved" "$domains_file"
}

undo_settings() {
	for name in $(changed -n '{print $1}'); do
		old=$(postconf -c "$saved" -n | sed -n "/^$name =/p")
		if [ -n "$old" ]; then
			set_main "$old"
		else
			edit -X "$name"
		fi
	done
}

undo_services() {
	for name in $(changed -M '{print $1 "/" $2}'); do
		old=$(postconf -c "$saved" -M "$name" 2>/dev/null)
		if [ -n "$old" ]; then
			edit -M "$name=$old"
		else
			edit -MX "$name"
		fi
	done
}

# changed FLAG KEY names what differs between the files as saved and as applied.
changed() {
	postconf -c "$saved" "$1" | grep -v "^config_directory" >"$saved/before"
	postconf -c "$saved/applied" "$1" | grep -v "^config_directory" >"$saved/after"
	diff "$saved/before" "$saved/after" | sed -n 's/^[<>] //p' | awk "$2" | sort -u
}

fail() {
	echo "pec-milter-postfix.sh: $1" >&2
	exit 78
}

value() { postconf -c "${work:-$dir}" -h "$1"; }

# copy_to DIRECTORY makes the copies that are edited.
copy_to() {
	work=$1
	cp -p "$dir/main.cf" "$dir/master.cf" "$work"
	look_old
}

# edit ARGUMENTS... is postconf on the copies.
edit() {
	postconf -c "$work" "$@"
	look_old
}

# look_old: Postfix programs wait for a second before they read a file that was
# just written.
look_old() { touch -t 200001010000 "$work/main.cf" "$work/master.cf"; }

# set_main NAME=VALUE... sets one after the other, so that their order is fixed.
set_main() {
	for setting in "$@"; do
		edit -e "$setting"
	done
}

# set_service SERVICE/TYPE NAME=VALUE... sets what one service does otherwise.
set_service() {
	service_name=$1
	shift
	for setting in "$@"; do
		edit -P "$service_name/$setting"
	done
}

# before NAME ITEM puts an item before what a list of main.cf has already.
before() {
	old=$(postconf -c "$work" -nh "$1" 2>/dev/null)
	set_main "$1=$2${old:+, $old}"
}

# check refuses what would make a setting below lose mail or mean nothing.
check() {
	if [ $# -eq 0 ]; then
		fail 'apply needs the certified domains'
	fi
	if [ -n "$PEC_SUBMISSION$PEC_SUBMISSIONS" ] && [ -z "$(value smtpd_tls_chain_files)$(value smtpd_tls_cert_file)" ]; then
		fail 'users must submit over TLS, and Postfix has no certificate: set smtpd_tls_chain_files (postconf(5)) first'
	fi
	case $PEC_TLS_POLICY in
	texthash:*)
		if [ ! -f "${PEC_TLS_POLICY#texthash:}" ]; then
			fail "no ${PEC_TLS_POLICY#texthash:}: it must say how to reach the other PEC providers by TLS (README.md), if only with a comment"
		fi
		;;
	esac
	if [ -n "$(value relay_recipient_maps)" ]; then
		fail 'relay_recipient_maps is set: Postfix would refuse the unknown users of a certified domain, to whose senders we owe a signed notice. Move those domains to another class (virtual_mailbox_domains) first'
	fi
	for domain in "$@"; do
		for class in mydestination virtual_alias_domains virtual_mailbox_domains; do
			case " $(postconf -c "$dir" -hx "$class" | tr ',\n' '  ') " in
			*" $domain "*) fail "$domain is in $class: a certified domain must be in no other class" ;;
			esac
		done
	done
}

# One table is both the list of our domains and their transport, so that the two
# cannot differ.
write_domains() {
	for domain in "$@"; do
		printf '%s\tpec-milter:%s\n' "$domain" "$PEC_DELIVERY_DOOR"
	done >"$domains_file"
	chmod 644 "$domains_file"
}

# A message is certified as the user sent it, and a signature breaks by one
# changed byte: Postfix must alter nothing, on the way in and on the way out.
keep_originals() {
	# No header is invented or completed. (The defaults do both for clients in
	# mynetworks and for those that authenticated.)
	set_main 'local_header_rewrite_clients=' 'always_add_missing_headers=no'
	# Bcc, Return-Path, Resent-Bcc and Content-Length are shown to the milter:
	# a Bcc must be refused (RFC 6109 section 3.1.1), not vanish.
	set_main 'message_drop_headers='
	# The milter protocol cuts a header value at a NUL, so that we would certify
	# something else than what goes on.
	set_main 'message_reject_characters=\0'
	# MIME parts are not parsed on the way in: a long header of a part is cut.
	set_main 'disable_mime_input_processing=yes'
	# Long lines are not folded, 8-bit parts are not re-encoded, toward a server
	# without 8BITMIME either.
	set_main 'smtp_line_length_limit=0' 'lmtp_line_length_limit=0' 'disable_mime_output_conversion=yes'
	# The message ends with CRLF.CRLF and nothing else; no client is exempt.
	# (Other settings repair bare newlines, and drop a line of the body.)
	set_main 'smtpd_forbid_bare_newline=reject' 'smtpd_forbid_bare_newline_exclusions='
	# BDAT carries bare newlines. DSN promises reports that certified mail
	# replaces by its own. UTF-8 addresses have no form in certification data.
	set_main 'smtpd_discard_ehlo_keywords=chunking,dsn' 'smtputf8_enable=no'
}

# A rewritten message over the limit of cleanup(8) would be refused for good
# after we accepted it: smtpd takes less than cleanup. An envelope or a receipt
# is an original and about 100 KB more.
limit_sizes() {
	set_main "message_size_limit=$((PEC_MAX_SIZE + PEC_MAX_SIZE / 4))"
	# local(8) and virtual(8) refuse to start with a mailbox limit below it.
	set_main 'mailbox_size_limit=0' 'virtual_mailbox_limit=0'
}

keep_time() {
	# RFC 6109 section 2.2.2: after 24 hours a message is given up, and the
	# sender gets a signed notice of ours: no unsigned warning before.
	set_main 'maximal_queue_lifetime=24h' 'bounce_queue_lifetime=24h' 'delay_warning_time=0h' 'soft_bounce=no'
	# A receipt waits in the queue while pec-milter restarts: try again soon.
	set_main 'queue_run_delay=60s' 'minimal_backoff_time=60s' 'maximal_backoff_time=15m'
	# A queue id names one message for ever, in the legal log too.
	set_main 'enable_long_queue_ids=yes'
}

ask_the_milter() {
	# Without pec-milter nothing is taken. "accept" would let mail pass
	# uncertified, and strip it when the milter dies in mid-answer.
	set_main 'milter_default_action=tempfail' 'milter_protocol=6'
	# pec-milter gives up by itself at 0.8 of this: [mta] content_timeout.
	set_main 'milter_content_timeout=300s'
	# What sendmail(1) and cron send is judged like mail from the world; else any
	# local user could forge a notification.
	set_main "non_smtpd_milters=$PEC_INCOMING_DOOR"
	# Postfix's own bounces are not: those for our users come by the delivery
	# door, which makes signed notices of them.
	set_main 'internal_mail_filter_classes='
}

require_tls() {
	# DM 2-11-2005, AgID: at least TLS 1.2 between providers and toward users.
	# Towards ordinary domains an old TLS is better than none: smtp_tls_protocols
	# stays as it is.
	set_main 'smtpd_tls_protocols=>=TLSv1.2' 'smtpd_tls_mandatory_protocols=>=TLSv1.2' \
		'smtp_tls_mandatory_protocols=>=TLSv1.2'
	# Other providers: TLS mandatory, certificate verified. Ordinary domains: TLS
	# where they have it.
	before smtp_tls_policy_maps "$PEC_TLS_POLICY"
	case $(value smtp_tls_security_level) in
	'' | none) set_main 'smtp_tls_security_level=may' ;;
	esac
	if [ -z "$(value smtp_tls_CAfile)$(value smtp_tls_CApath)" ]; then
		set_main 'smtp_tls_CAfile=/etc/ssl/certs/ca-certificates.crt'
	fi
}

# Our domains and the outbox go to the delivery door by LMTP: one transaction
# per message, a reply for each recipient, no second queue file.
route() {
	# A domain in relay_domains, without relay_recipient_maps: an unknown user is
	# accepted at RCPT, and the sender gets a signed notice, not a bounce.
	before relay_domains "texthash:$domains_file"
	before transport_maps "inline:{{$outbox=pec-milter:$PEC_DELIVERY_DOOR}}, texthash:$domains_file"
	edit -M "pec-milter/unix=pec-milter unix - - n - - lmtp"
	# About 16 messages use one connection.
	set_service pec-milter/unix "lmtp_connection_cache_destinations=${PEC_DELIVERY_DOOR#*:}"
	set_main 'pec-milter_destination_recipient_limit=50'
}

# Only the milter may address the outbox, and the inject service below. A service
# of master.cf that has restrictions of its own hides those of main.cf.
refuse_outbox_everywhere() {
	set_main "pec_milter_refuse_outbox=check_recipient_access inline:{{$outbox=REJECT internal domain}}"
	before smtpd_recipient_restrictions '$pec_milter_refuse_outbox'
	postconf -c "$work" -P | sed -n 's,^\(.*\)/smtpd_recipient_restrictions = ,\1 ,p' |
		while read -r service old; do
			case $service in
			"$PEC_INJECT/inet") ;;
			*) set_service "$service" "smtpd_recipient_restrictions=\$pec_milter_refuse_outbox,$(echo "$old" | sed 's/[, ][, ]*/,/g')" ;;
			esac
		done
}

# keep_as_is SERVICE: what holds for every service that pec-milter judges or
# feeds. Aliases would be expanded after the milter, and receipts would name
# addresses that nobody wrote; content filters change messages.
keep_as_is() {
	set_service "$1" 'receive_override_options=no_address_mappings' 'cleanup_service_name=pec-cleanup' 'content_filter=' 'smtpd_proxy_filter='
}

# Header and body checks change messages too. They are not switched off by
# no_header_body_checks, for then message_reject_characters does nothing either.
cleanup_service() {
	edit -M "pec-cleanup/unix=pec-cleanup unix n - n - 0 cleanup"
	set_service pec-cleanup/unix 'header_checks=' 'mime_header_checks=' 'nested_header_checks=' 'body_checks='
}

# The world: everything that comes for us goes by the INCOMING door. Whoever
# submits uses the services below, so that what came in here is never taken for
# a user's: no authentication, no relaying.
incoming_service() {
	service=$PEC_INCOMING/inet
	make_smtpd "$PEC_INCOMING"
	keep_as_is "$service"
	set_service "$service" "smtpd_milters=$PEC_INCOMING_DOOR" \
		"message_size_limit=$((PEC_MAX_SIZE + PEC_MAX_SIZE / 8))" \
		'smtpd_sasl_auth_enable=no' 'smtpd_relay_restrictions=reject_unauth_destination'
	case $(value smtpd_tls_security_level) in
	'' | none) set_service "$service" 'smtpd_tls_security_level=may' ;;
	esac
}

# Our users: authenticated by Dovecot, over TLS only, by the ACCESS door. Who may
# write as whom is decided there, not by smtpd_sender_login_maps.
submission_service() {
	service=$1/inet
	make_smtpd "$1"
	keep_as_is "$service"
	set_service "$service" 'syslog_name=postfix/submission' "smtpd_milters=$PEC_ACCESS_DOOR" \
		"message_size_limit=$PEC_MAX_SIZE" \
		'smtpd_tls_security_level=encrypt' 'smtpd_tls_auth_only=yes' \
		'smtpd_sasl_auth_enable=yes' 'smtpd_sasl_type=dovecot' "smtpd_sasl_path=$PEC_SASL" \
		'smtpd_sasl_security_options=noanonymous' \
		'smtpd_client_restrictions=' 'smtpd_helo_restrictions=' 'smtpd_sender_restrictions=' \
		'smtpd_relay_restrictions=permit_sasl_authenticated,reject' \
		'smtpd_recipient_restrictions=permit_sasl_authenticated,reject' \
		'smtpd_reject_unlisted_recipient=no'
	if [ "$1" = "$PEC_SUBMISSIONS" ]; then
		set_service "$service" 'smtpd_tls_wrappermode=yes'
	fi
}

# The notices of pec-milter: no milter, loopback only. A process of this machine
# that connects here can send what it likes but no notice of ours: outbox
# addresses carry an HMAC.
inject_service() {
	service=$PEC_INJECT/inet
	make_smtpd "$PEC_INJECT"
	keep_as_is "$service"
	set_service "$service" 'syslog_name=postfix/inject' 'smtpd_milters=' \
		'mynetworks=127.0.0.0/8,[::1]/128' \
		'smtpd_client_restrictions=permit_mynetworks,reject' 'smtpd_helo_restrictions=' 'smtpd_sender_restrictions=' \
		'smtpd_relay_restrictions=permit_mynetworks,reject' 'smtpd_recipient_restrictions=permit_mynetworks,reject' \
		'smtpd_data_restrictions=' 'smtpd_end_of_data_restrictions=' 'smtpd_reject_unlisted_recipient=no' \
		'smtpd_sasl_auth_enable=no' 'smtpd_tls_security_level=none' \
		'smtpd_client_connection_count_limit=0' 'smtpd_client_connection_rate_limit=0'
}

# make_smtpd NAME adds a service to master.cf where it is missing.
make_smtpd() {
	if [ -z "$(postconf -c "$work" -M "$1/inet" 2>/dev/null)" ]; then
		edit -M "$1/inet=$1 inet n - n - - smtpd"
	fi
}

main "$@"
