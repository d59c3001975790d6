#!/bin/sh
# Two providers for a trial, alfa and beta, and a letter from the one to the other.
#
#   trial make      writes all that compose.yml mounts: throw-away keys, certificates for a
#                   year, passwords, users, configurations. What is there already stays.
#   trial letter    sends a certified message from mario@alfa.example to anna@beta.example, waits
#                   for what is due in the mailboxes, and verifies each message.
#
# It runs in the image "trial", as root, for each file belongs to the one container
# that may read it. ALFA_USERS and BETA_USERS are more users, by the local part.
set -eu
umask 022

dir=${PEC_DIR:-/trial}
share=/usr/share/pec-milter
days=365

main() {
	case ${1-} in
	make) make_all ;;
	letter) letter ;;
	*)
		echo 'usage: trial make|letter' >&2
		exit 64
		;;
	esac
}

make_all() {
	if [ -e "$dir/made" ]; then
		echo "trial: all is there already; to begin anew, remove the containers, their volumes and this directory" >&2
		return
	fi
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$dir/client/roots"
	test -s "$dir/client/password" || private root "$dir/client/password" "$(openssl rand -hex 12)"
	authority tls 'Throw-away TLS Root'
	authority pec 'Throw-away PEC Root'
	signing_certificate office 'Directory Office' indice@office.example
	signing_certificate alfa 'Alfa PEC S.p.A.' posta-certificata@alfa.example
	signing_certificate beta 'Beta PEC S.p.A.' posta-certificata@beta.example
	revocation_list
	directory
	provider alfa beta 'Alfa PEC S.p.A.' "mario ${ALFA_USERS-}"
	provider beta alfa 'Beta PEC S.p.A.' "anna ${BETA_USERS-}"
	cp "$work/tls.pem" "$dir/client/ca.pem"
	cp "$work/pec.pem" "$dir/client/roots/root.pem"
	cp "$work/directory.ldif" "$work/revocations.pem" "$dir/client"
	touch "$dir/made"
	echo 'trial: keys, passwords and configurations of alfa and beta are made' >&2
}

# --- certificates

# authority NAME TITLE
authority() {
	openssl req -x509 -newkey rsa:2048 -noenc -keyout "$work/$1.key" -out "$work/$1.pem" -days $days -subj "/C=IT/CN=$2" \
		-addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}

# signing_certificate NAME TITLE ADDRESS has the profile of RFC 6109 section 5.5.2.
signing_certificate() {
	issue "$1" pec rsa:2048 "/C=IT/O=$2/CN=Posta Certificata" <<-END
		subjectAltName=email:$3
		keyUsage=critical,digitalSignature
		extendedKeyUsage=emailProtection
	END
}

# server_certificate DIRECTORY OWNER HOST...
server_certificate() {
	server_directory=$1 server_owner=$2
	shift 2
	issue server tls ec:"$work/p256" "/CN=$1" <<-END
		subjectAltName=$(printf 'DNS:%s,' "$@")DNS:localhost,IP:127.0.0.1
		keyUsage=critical,digitalSignature
		extendedKeyUsage=serverAuth
	END
	mkdir -p "$server_directory"
	cp "$work/server.pem" "$server_directory/tls.pem"
	private "$server_owner" "$server_directory/tls.key" "$(cat "$work/server.key")"
	cp "$work/tls.pem" "$server_directory/ca.pem"
}

# issue NAME AUTHORITY KEY SUBJECT, and the extensions on standard input.
issue() {
	test -s "$work/p256" || openssl ecparam -name prime256v1 -out "$work/p256"
	{
		echo 'subjectKeyIdentifier=hash'
		echo 'authorityKeyIdentifier=keyid'
		cat
	} >"$work/extensions"
	openssl req -new -newkey "$3" -noenc -keyout "$work/$1.key" -out "$work/$1.csr" -subj "$4" 2>/dev/null
	openssl x509 -req -in "$work/$1.csr" -CA "$work/$2.pem" -CAkey "$work/$2.key" -CAcreateserial -days $days \
		-extfile "$work/extensions" -out "$work/$1.pem" 2>/dev/null
}

revocation_list() {
	: >"$work/index"
	printf '[ca]\ndefault_ca=pec\n[pec]\ndatabase=%s/index\ndefault_md=sha256\ndefault_crl_days=%s\ncrl_extensions=crl\n[crl]\nauthorityKeyIdentifier=keyid\n' \
		"$work" $days >"$work/ca.conf"
	openssl ca -config "$work/ca.conf" -gencrl -cert "$work/pec.pem" -keyfile "$work/pec.key" -out "$work/revocations.pem" 2>/dev/null
}

# directory writes the providers directory of RFC 6109 section 4.5 and signs it.
directory() {
	{
		printf 'version: 1\n\ndn: o=postacert\nobjectclass: top\nobjectclass: organization\no: postacert\n'
		record alfa 'Alfa PEC S.p.A.'
		record beta 'Beta PEC S.p.A.'
	} >"$work/directory.ldif"
	openssl cms -sign -binary -nodetach -outform DER -md sha256 -signer "$work/office.pem" -inkey "$work/office.key" \
		-in "$work/directory.ldif" -out "$work/directory.ldif.p7m"
}

# record NAME TITLE
record() {
	openssl x509 -in "$work/$1.pem" -outform DER -out "$work/$1.der"
	cat <<-END

		dn: providerName=$2,o=postacert
		objectclass: top
		objectclass: provider
		providerName: $2
		providerCertificateHash: $(sha1sum <"$work/$1.der" | cut -d ' ' -f 1)
		providerCertificate;binary:: $(base64 -w 0 "$work/$1.der")
		mailReceipt: ricevute@$1.example
		managedDomains: $1.example
	END
}

# --- what is mounted

# private OWNER FILE TEXT
private() {
	(umask 077 && printf '%s\n' "$3" >"$2")
	chown "$1:" "$2"
}

# provider NAME PEER TITLE USERS
provider() {
	rm -rf "${dir:?}/$1"
	mkdir -p "$dir/$1"
	redis "$1"
	postgresql "$1"
	openldap "$1"
	clamav "$1"
	dovecot "$1" "$4"
	postfix "$1" "$2"
	pec_milter "$1" "$3" "$4"
	token "$1"
}

redis() {
	server_certificate "$dir/$1/redis" redis "$1-redis"
	openssl rand -hex 32 >"$work/redis-password"
	hash=$(tr -d '\n' <"$work/redis-password" | sha256sum | cut -d ' ' -f 1)
	private redis "$dir/$1/redis/pec-milter.acl" "$(sed "s/SHA-256-OF-THE-PASSWORD/$hash/" $share/pec-milter.acl)"
}

postgresql() {
	server_certificate "$dir/$1/postgresql" postgres "$1-postgresql"
	for role in daemon owner; do
		openssl rand -hex 32 >"$work/$role-password"
		private postgres "$dir/$1/postgresql/$role-password" "$(cat "$work/$role-password")"
	done
	# For "database migrate" alone: the daemon must not have it.
	mkdir "$dir/$1/owner"
	private pec-milter "$dir/$1/owner/owner-password" "$(cat "$work/owner-password")"
}

openldap() {
	server_certificate "$dir/$1/openldap" openldap "$1-openldap"
	openssl rand -hex 32 >"$work/mirror-password"
	private openldap "$dir/$1/openldap/pec-database.ldif" "$(sed "s,HASH-OF-THE-PASSWORD,$(ssha "$work/mirror-password")," $share/pec-database.ldif)"
}

# ssha FILE is what slappasswd makes of its line: {SSHA}, SHA-1 of password and salt, salt.
ssha() {
	openssl rand 8 >"$work/salt"
	{ tr -d '\n' <"$1" && cat "$work/salt"; } | openssl dgst -sha1 -binary >"$work/hash"
	printf '{SSHA}%s' "$(cat "$work/hash" "$work/salt" | base64 -w 0)"
}

# The test virus stands in for real signatures, which freshclam fetches.
clamav() {
	mkdir "$dir/$1/clamav"
	printf 'Eicar-Test:0:*:%s\n' "$(printf '%s%s%s' 'X5O!P%@AP[4\PZX54(P^)7CC)7}' '$EICAR-STANDARD-' 'ANTIVIRUS-TEST-FILE!$H+H*' |
		od -An -v -tx1 | tr -d ' \n')" >"$dir/$1/clamav/trial.ndb"
}

dovecot() {
	server_certificate "$dir/$1/dovecot" vmail "imap.$1.example"
	hash=$(openssl passwd -6 -stdin <"$dir/client/password")
	private vmail "$dir/$1/dovecot/users" "$(for user in $(mailboxes "$2"); do echo "$user@$1.example:$hash::::::"; done)"
}

# mailboxes USERS are theirs, and the provider's own.
mailboxes() { echo "$1" posta-certificata ricevute postmaster; }

postfix() {
	server_certificate "$dir/$1/postfix" root "mx.$1.example"
	cp "$work/tls.pem" "$dir/$1/postfix/ca.pem"
	# There is no MX record, and nobody to ask for a name, on a private network.
	cat >"$dir/$1/postfix/settings" <<-END
		myhostname = mx.$1.example
		transport_maps = texthash:/etc/pec/routes
		smtp_tls_CAfile = /etc/pec/ca.pem
		smtpd_peername_lookup = no
	END
	echo "$2.example smtp:[mx.$2.example]" >"$dir/$1/postfix/routes"
	echo "[mx.$2.example] secure match=mx.$2.example" >"$dir/$1/postfix/tls-policy"
}

pec_milter() {
	into=$dir/$1/pec-milter
	mkdir -p "$into/roots"
	sed "s/PROVIDER/$1/; s/TITLE/$2/; s/DOMAIN/$1.example/" $share/pec-milter.toml >"$into/pec-milter.toml"
	sed 's,unix:/sockets/doors/access.sock,inet:127.0.0.1:10025,; s,unix:/sockets/doors/incoming.sock,inet:127.0.0.1:10026,
		s,unix:/sockets/doors/delivery.sock,inet:127.0.0.1:10024,' "$into/pec-milter.toml" >"$into/pec-milter-tcp.toml"
	echo 'directories.tokendir = /var/lib/pec-milter/tokens' >"$into/softhsm2.conf"
	cp "$work/pec.pem" "$into/roots/root.pem"
	cp "$work/revocations.pem" "$work/directory.ldif.p7m" "$into"
	cp "$work/office.pem" "$into/directory-signers.pem"
	cp "$work/$1.pem" "$into/signer.pem"
	cp "$work/tls.pem" "$into/ca.pem"
	private pec-milter "$into/secret" "$(openssl rand -hex 32)"
	private pec-milter "$into/pin" "$(printf %010d $(od -An -N 4 -tu4 /dev/urandom))"
	private pec-milter "$into/redis-password" "$(cat "$work/redis-password")"
	private pec-milter "$into/postgresql-password" "$(cat "$work/daemon-password")"
	private pec-milter "$into/mirror-password" "$(cat "$work/mirror-password")"
	for user in $3; do
		echo "$user@$1.example $user@$1.example active refuse"
	done >"$into/accounts"
}

# token makes a SoftHSM token with the signing key, which is nowhere else then.
token() {
	tokens=$dir/$1/tokens
	mkdir -m 700 "$tokens"
	echo "directories.tokendir = $tokens" >"$work/softhsm2.conf"
	pin=$(cat "$dir/$1/pec-milter/pin")
	export SOFTHSM2_CONF="$work/softhsm2.conf"
	softhsm2-util --init-token --free --label "$1" --so-pin "$pin" --pin "$pin" >/dev/null
	softhsm2-util --import "$work/$1.key" --token "$1" --label signer --id 01 --pin "$pin" >/dev/null
	rm "$work/$1.key"
	chown -R pec-milter: "$tokens"
}

# --- the letter

sender=mario@alfa.example
recipient=anna@beta.example

letter() {
	password=$(cat "$dir/client/password")
	id="trial.$(openssl rand -hex 8)@client.example"
	mkdir -p "$dir/mail"
	submit
	# What a mailbox gets: a name, whose it is, and the header that tells it.
	await accettazione $sender 'X-Ricevuta accettazione'
	await posta-certificata $recipient 'X-Trasporto posta-certificata'
	await presa-in-carico ricevute@alfa.example 'X-Ricevuta presa-in-carico'
	await avvenuta-consegna $sender 'X-Ricevuta avvenuta-consegna'
	echo 'trial: the receipt of delivery is genuine'
}

# submit tries for three minutes: whoever is not up yet answers with 4xx.
submit() {
	printf '%s\r\n' "From: $sender" "To: $recipient" 'Subject: Prova' "Date: $(LC_ALL=C date -R)" "Message-ID: <$id>" \
		'MIME-Version: 1.0' 'Content-Type: text/plain; charset=us-ascii' '' 'Una prova.' >/tmp/letter.eml
	for try in $(seq 60); do
		if as $sender --url smtp://mx.alfa.example:587 --ssl-reqd --mail-from $sender --mail-rcpt $recipient --upload-file /tmp/letter.eml 2>/tmp/refused; then
			echo "250  $sender has submitted <$id>"
			return
		fi
		sleep 3
	done
	echo "trial: not submitted within three minutes: $(tail -n 1 /tmp/refused)" >&2
	exit 69
}

# as USER ARGUMENTS... is curl as a user.
as() {
	user=$1
	shift
	curl --silent --show-error --max-time 60 --cacert "$dir/client/ca.pem" --user "$user:$password" "$@"
}

# await NAME MAILBOX HEADER waits for a message about the letter, and verifies it with
# openssl and with pec-milter, each by itself.
await() {
	box=imaps://imap.${2#*@}/INBOX
	number=
	for try in $(seq 180); do
		number=$(as "$2" --url "$box" --request "SEARCH HEADER $3 HEADER X-Riferimento-Message-ID $id" | tr -d '\r' | sed -n 's/^\* SEARCH \([0-9]*\).*/\1/p')
		test -z "$number" || break
		sleep 1
	done
	if [ -z "$number" ]; then
		echo "trial: no $1 for $2 within three minutes" >&2
		exit 1
	fi
	message=$dir/mail/$1.eml
	as "$2" --url "$box/;MAILINDEX=$number" >"$message"
	openssl cms -verify -in "$message" -CAfile "$dir/client/roots/root.pem" -out /dev/null 2>/dev/null
	pec-milter verify --directory "$dir/client/directory.ldif" --roots "$dir/client/roots" --revocations "$dir/client/revocations.pem" "$message" >"$message.txt"
	echo "good $1 for $2: build/docker/mail/$1.eml"
}

main "$@"
