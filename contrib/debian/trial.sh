#!/bin/sh
# A PEC provider to look at, on a Debian 12 machine or container that has nothing else to
# do: Postfix or Sendmail, Dovecot and pec-milter with their usual ports, and an authority,
# a providers directory and two users of its own. Nobody else believes what it signs, and
# nothing scans for viruses: for trials only.
#
#   trial.sh start DOMAIN         sets it up and starts it; its users are anna and bruno
#   trial.sh send FROM TO >FILE   FROM submits a message to TO; prints the delivery receipt
#
# It needs root and the packages pec-milter, dovecot-imapd, dovecot-pop3d, dovecot-lmtpd and
# dovecot-sieve, and either postfix or sendmail-bin, sasl2-bin, libsasl2-modules and
# libsasl2-modules-db.
set -eu

contrib=$(cd "$(dirname "$0")/.." && pwd)
etc=/etc/pec-milter
var=/var/lib/pec-milter
config=$etc/pec-milter.toml
password=$etc/trial-password
if command -v postconf >/dev/null; then # the packages exclude each other
	mta=postfix
	sockets=/var/spool/postfix/pec-milter
else
	mta=sendmail
	sockets=/run/pec-milter
fi

main() {
	case ${1-}/$# in
	start/2) start "$2" ;;
	send/3) send "$2" "$3" ;;
	*)
		echo 'usage: trial.sh start DOMAIN | trial.sh send FROM TO >FILE' >&2
		exit 64
		;;
	esac
}

fail() {
	echo "trial.sh: $1" >&2
	exit "${2-1}"
}

start() {
	domain=$1
	check
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	make_authority
	make_signer
	write_directory
	configure_daemon
	configure_dovecot
	configure_$mta
	start_servers
	pec-milter check-config --mta --config $config >&2
	echo "anna@$domain and bruno@$domain have the password in $password: submission on ports 465 and 587, IMAP on 993" >&2
}

# check refuses a machine that has mail of its own.
check() {
	if [ "$(id -u)" -ne 0 ]; then
		fail 'not root' 69
	fi
	for program in doveconf sievec pec-milter openssl adduser; do
		command -v $program >/dev/null || fail "no $program: install pec-milter, dovecot-imapd, dovecot-pop3d, dovecot-lmtpd and dovecot-sieve" 69
	done
	if [ $mta = sendmail ] && ! { [ -x /usr/libexec/sendmail/sendmail ] && command -v saslpasswd2 >/dev/null; }; then
		fail 'no MTA: install postfix, or sendmail-bin, sasl2-bin, libsasl2-modules and libsasl2-modules-db' 69
	fi
	if [ -e $etc/signer.pem ] || [ -e $etc/accounts ]; then
		fail "there is a provider in $etc already: use another machine" 78
	fi
}

# quietly COMMAND... says what openssl says only if it fails.
quietly() { "$@" 2>"$work/said" || fail "$(cat "$work/said")"; }

# make_authority makes who certifies us, and a revocation list that names nobody.
make_authority() {
	mkdir -p $etc/roots
	quietly openssl req -x509 -newkey rsa:2048 -noenc -days 3650 -subj '/CN=Trial authority' \
		-addext 'keyUsage=critical,keyCertSign,cRLSign' -keyout "$work/ca.key" -out $etc/roots/trial.pem
	: >"$work/index"
	echo 01 >"$work/number"
	cat >"$work/ca.conf" <<-END
		[ca]
		default_ca = trial
		[trial]
		database = $work/index
		crlnumber = $work/number
		crl_extensions = list
		[list]
		authorityKeyIdentifier = keyid
	END
	quietly openssl ca -config "$work/ca.conf" -gencrl -crldays 365 -md sha256 -keyfile "$work/ca.key" -cert $etc/roots/trial.pem -out $etc/trial.crl
}

# certify FILE SUBJECT EXTENSIONS makes FILE.key and FILE.pem.
certify() {
	printf '%s\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n' "$3" >"$work/extensions"
	quietly openssl req -new -newkey rsa:2048 -noenc -subj "$2" -keyout "$1.key" -out "$work/request"
	quietly openssl x509 -req -in "$work/request" -days 365 -CA $etc/roots/trial.pem -CAkey "$work/ca.key" -CAcreateserial -CAserial "$work/serial" \
		-extfile "$work/extensions" -out "$1.pem"
}

# make_signer has the profile of RFC 6109 section 5.5.
make_signer() {
	certify $etc/signer "/C=IT/O=Trial $domain/CN=Posta Certificata" "keyUsage=critical,digitalSignature
extendedKeyUsage=emailProtection
subjectAltName=email:posta-certificata@$domain"
	certify $etc/server "/CN=mx.$domain" "subjectAltName=DNS:mx.$domain,DNS:localhost"
}

# write_directory: RFC 6109 section 4.5.
write_directory() {
	openssl x509 -in $etc/signer.pem -outform DER -out "$work/signer.der"
	cat >$var/providers.ldif <<-END
		version: 1

		dn: o=postacert
		objectclass: top
		objectclass: organization
		o: postacert

		dn: providerName=Trial $domain,o=postacert
		objectclass: top
		objectclass: provider
		providerName: Trial $domain
		providerCertificateHash: $(sha1sum "$work/signer.der" | cut -c 1-40)
		providerCertificate;binary:: $(base64 -w 0 "$work/signer.der")
		mailReceipt: ricevute@$domain
		managedDomains: $domain
	END
}

configure_daemon() {
	(
		umask 077
		openssl rand -hex 32 >$etc/secret
		openssl rand -hex 12 >$password
	)
	printf '%s\n' "anna@$domain anna@$domain active refuse" "bruno@$domain bruno@$domain active refuse" >$etc/accounts
	cat >$config <<-END
		antivirus = "none"

		[provider]
		name = "Trial $domain"
		domain = "$domain"
		domains = ["$domain"]
		address = "posta-certificata@$domain"
		mail_receipt = "ricevute@$domain"
		secret_file = "secret"

		[access]
		listen = "unix:$sockets/access.sock"

		[incoming]
		listen = "unix:$sockets/incoming.sock"

		[delivery]
		listen = "unix:$sockets/delivery.sock"
		mailbox = "unix:/var/run/dovecot/lmtp"

		[inject]
		address = "127.0.0.1:10027"

		[signer]
		certificate_file = "signer.pem"
		key_file = "signer.key"

		[directory]
		ldif = "$var/providers.ldif"
		roots = "roots"
		revocations = ["trial.crl"]

		[accounts]
		file = "accounts"

		[state]
		file = "$var/pec.db"
	END
	chmod 640 $etc/secret $etc/signer.key
	chgrp pec-milter $etc/secret $etc/signer.key
	chown pec-milter $var/providers.ldif
}

# configure_dovecot: contrib/dovecot/README.md, and users that are only its own.
configure_dovecot() {
	install -d /etc/dovecot/pec-milter/bin
	install -m 644 "$contrib"/dovecot/pec-milter.conf "$contrib"/dovecot/site-debian.conf "$contrib"/dovecot/duplicate.sieve /etc/dovecot/pec-milter
	install -m 755 "$contrib"/dovecot/bin/stored /etc/dovecot/pec-milter/bin
	for user in anna bruno ricevute posta-certificata postmaster; do
		echo "$user@$domain:{PLAIN}$(cat $password)"
		install -d -o mail -g mail "/var/mail/$domain" "/var/mail/$domain/$user"
	done >/etc/dovecot/pec-milter/users
	chown dovecot /etc/dovecot/pec-milter/users
	chmod 600 /etc/dovecot/pec-milter/users
	sed -i 's/^!include auth-system/#&/' /etc/dovecot/conf.d/10-auth.conf
	cat >>/etc/dovecot/local.conf <<-END
		!include pec-milter/site-debian.conf
		ssl_cert = <$etc/server.pem
		ssl_key = <$etc/server.key
		mail_location = maildir:~/Maildir
		first_valid_uid = 1
		passdb {
		  driver = passwd-file
		  args = /etc/dovecot/pec-milter/users
		}
		userdb {
		  driver = static
		  args = uid=mail gid=mail home=/var/mail/%d/%n
		}
	END
	sievec -c /etc/dovecot/dovecot.conf /etc/dovecot/pec-milter/duplicate.sieve # a running Dovecot has the old settings
}

# configure_postfix: contrib/postfix/README.md.
configure_postfix() {
	for name in main.cf:main.cf.debian master.cf:master.cf.dist; do
		if [ ! -e "/etc/postfix/${name%:*}" ]; then
			cp "/usr/share/postfix/${name#*:}" "/etc/postfix/${name%:*}"
		fi
	done
	postconf -e "myhostname=mx.$domain" mydestination=localhost "smtpd_tls_chain_files=$etc/server.key, $etc/server.pem"
	if [ ! -e /dev/log ]; then
		postconf -e maillog_file=/var/log/mail.log
	fi
	echo '# nobody' >/etc/postfix/pec-milter-tls-policy
	"$contrib"/postfix/pec-milter-postfix.sh apply "$domain"
	chown pec-milter:pec-milter $sockets
	chmod 750 $sockets
	adduser --quiet postfix pec-milter
}

# configure_sendmail: contrib/sendmail/README.md.
configure_sendmail() {
	name_machine
	cp "$contrib"/sendmail/pec-milter.m4 /etc/mail/m4/pec-milter.m4
	# A trial's domain is in no DNS.
	sed -e "s/alfa\\.example/$domain/" -e "s,/etc/mail/tls/server\\.,$etc/server.," -e "/^FEATURE(.access_db/i FEATURE(\`accept_unresolvable_domains')dnl" \
		"$contrib"/sendmail/sendmail.mc >/etc/mail/sendmail.mc
	echo "TLS_Rcpt:$domain OK" >>/etc/mail/access # with no line it would be no table
	mkdir -p /etc/sasl2
	printf '%s\n' 'pwcheck_method: auxprop' 'auxprop_plugin: sasldb' 'mech_list: PLAIN LOGIN' >/etc/sasl2/Sendmail.conf
	for user in anna bruno; do
		tr -d '\n' <$password | saslpasswd2 -p -c -u "$domain" $user
	done
	chmod 600 /etc/sasldb2
	install -d -o pec-milter -g pec-milter -m 750 $sockets
	printf '\n[mta]\nlifetime = "unix:%s/lifetime.sock"\n' $sockets >>$config
	install -D -m 644 "$contrib"/systemd/drop-ins/sendmail.conf /etc/systemd/system/pec-milter.socket.d/sendmail.conf
	sed -i 's/^QUEUE_INTERVAL=.*/QUEUE_INTERVAL="1m"/' /etc/mail/sendmail.conf
	make -C /etc/mail >&2
}

# name_machine: Sendmail waits for a minute where the name of the machine has no dot. The
# file is written over, for a container has it as a mount.
name_machine() {
	echo "127.0.1.1 mx.$domain $(uname -n)" | cat - /etc/hosts >"$work/hosts"
	cat "$work/hosts" >/etc/hosts
}

start_servers() {
	if [ -d /run/systemd/system ]; then
		systemctl restart dovecot
		systemctl daemon-reload
		systemctl enable --now --quiet pec-milter.socket pec-milter.service
		systemctl restart $mta
	else # a container
		doveadm stop 2>/dev/null || true
		dovecot
		start-stop-daemon --start --background --chuid pec-milter --umask 077 --output /var/log/pec-milter.log \
			--exec /usr/sbin/pec-milter -- serve --config $config
		service $mta restart >&2
	fi
	await 60 'the doors do not answer: look into the log of pec-milter' pec-milter healthcheck --config $config
}

# await SECONDS COMPLAINT COMMAND... waits until the command succeeds.
await() {
	left=$1
	complaint=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		if [ $left -lt 0 ]; then
			fail "$complaint"
		fi
		sleep 1
	done
}

send() {
	id=$(openssl rand -hex 8)@trial.example
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	submit "$1" "$2"
	await 120 'no receipt came: look into the logs of the MTA and of pec-milter' receipt "$1"
	cat "$(receipt "$1")"
}

# submit FROM TO is a mail client: it waits for each answer, as Sendmail insists.
submit() {
	mkfifo "$work/commands" "$work/replies"
	openssl s_client -quiet -crlf -verify_quiet -CAfile $etc/roots/trial.pem -connect localhost:465 <"$work/commands" >"$work/replies" &
	exec 3>"$work/commands" 4<"$work/replies"
	answer 220
	say 'EHLO trial.example' 250
	say "AUTH PLAIN $(printf '\0%s\0%s' "$1" "$(cat $password)" | base64 -w 0)" 235
	say "MAIL FROM:<$1>" 250
	say "RCPT TO:<$2>" 250
	say DATA 354
	cat >&3 <<-END
		From: $1
		To: $2
		Subject: Prova
		Date: $(LC_ALL=C date -R)
		Message-ID: <$id>

		Buongiorno.
	END
	say . 250
	say QUIT 221
}

# say COMMAND CODE wants that answer.
say() {
	printf '%s\n' "$1" >&3
	answer "$2"
}

# answer CODE reads lines "250-..." until "250 ...".
answer() {
	while read -r line <&4; do
		echo "$line" >&2
		case $line in
		"$1 "*) return ;;
		"$1-"*) ;;
		*) break ;;
		esac
	done
	fail "the MTA does not take the message: look into the logs of the MTA and of pec-milter"
}

# receipt FROM names the file with the delivery receipt.
receipt() {
	home=/var/mail/${1#*@}/${1%@*}/Maildir
	grep -rlF "X-Riferimento-Message-ID: <$id>" "$home/new" "$home/cur" | xargs -r grep -lF 'X-Ricevuta: avvenuta-consegna' | grep .
}

main "$@"
