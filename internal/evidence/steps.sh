# The steps of verify.sh, which has looked whether this file is as it was.
# sh verify.sh [AUTHORITIES.pem [TSA-AUTHORITIES.pem]] judges by other authorities than those enclosed.
authorities=${1:-certificates/authorities.pem}
stampers=${2:-certificates/tsa-authorities.pem}
bad=0
incomplete=0

fail() { printf 'BAD: %s\n' "$*"; bad=1; }
hash() { sha256sum | cut -d ' ' -f 1; }
bytes() { od -An -v -tx1; }

# signed CONTENT SIGNATURE SECONDS: a detached CMS signature, by a certificate that was valid then
signed() {
	if openssl cms -verify -binary -inform DER -in "$2" -content "$1" -CAfile "$authorities" -attime "$3" -out /dev/null 2>/dev/null
	then printf 'signed: %s by %s\n' "$1" "$(openssl pkcs7 -inform DER -in "$2" -print_certs | openssl x509 -noout -subject)"
	else fail "the signature of $1 does not hold"
	fi
}

# stamped SIGNATURE STAMP: a time stamp by RFC 3161
stamped() {
	at=$(openssl ts -reply -in "$2" -text 2>/dev/null | while read -r a b rest; do
		if test "$a $b" = 'Time stamp:'; then date -u -d "$rest" +%s; fi
	done)
	if openssl ts -verify -in "$2" -data "$1" -CAfile "$stampers" -attime "${at:-0}" >/dev/null 2>&1
	then printf 'time stamp: %s of %s\n' "$1" "$(date -u -d "@$at")"
	else fail "the time stamp of $1 does not hold"
	fi
}

# proved ROW: the row is in the tree whose root is in a signed manifest
proved() {
	path=${1%.ndjson}.path
	if ! test -f "$path"; then
		printf 'NOT PROVED: %s is in no seal\n' "$1"
		incomplete=1
		return
	fi
	seal=none
	node=$({ printf 'leaf '; cat "$1"; } | hash)
	while read -r side other; do
		case $side in
		seal) seal=$other ;;
		left) node=$(printf 'node %s %s\n' "$other" "$node" | hash) ;;
		right) node=$(printf 'node %s %s\n' "$node" "$other" | hash) ;;
		*) fail "$path cannot be read" ;;
		esac
	done < "$path"
	case $(cat "seals/$seal.json") in
	*"\"root\":\"$node\","*) printf 'sealed: %s in %s\n' "$1" "$seal" ;;
	*) fail "$1 is not in the seal $seal" ;;
	esac
}

# All files are as they were, there are no others, and the list of them is signed.
sha256sum --quiet --strict -c SHA256SUMS || fail 'files were changed'
test "$(sha256sum SHA256SUMS.p7s | bytes)" = "$(bytes < SHA256SUMS.p7s.sha256)" || fail 'SHA256SUMS.p7s was changed'
count=0
for file in * */*; do
	if test -f "$file"; then count=$((count + 1)); fi
done
test "$count" -eq $(($(wc -l < SHA256SUMS) + 3)) || fail 'files were added'
read -r made rest < MADE
signed SHA256SUMS SHA256SUMS.p7s "$made"

for manifest in seals/*.json; do
	test -f "$manifest" || continue
	sealed=$(cat "$manifest")
	sealed=${sealed##*\"sealed\":\"}
	signed "$manifest" "${manifest%.json}.p7s" "$(date -u -d "${sealed%%\"*}" +%s)"
	if test -f "${manifest%.json}.tsr"; then
		stamped "${manifest%.json}.p7s" "${manifest%.json}.tsr"
	else
		printf 'NOT PROVED: %s has no time stamp\n' "$manifest"
		incomplete=1
	fi
done

for row in rows/*.ndjson; do
	proved "$row"
done

for notice in notices/*.eml; do
	test -f "$notice" || continue
	if openssl cms -verify -in "$notice" -CAfile "$authorities" -attime "$made" -out /dev/null 2>/dev/null
	then printf 'signed: %s\n' "$notice"
	else fail "the signature of $notice does not hold"
	fi
done

if test "$bad" -ne 0; then
	printf 'BAD: do not rely on this evidence\n'
	exit 1
fi
if test "$incomplete" -ne 0; then
	printf 'INCOMPLETE: all that is here is as it was, but not all is proved: see MISSING\n'
	exit 2
fi
printf 'GOOD: made %s\n' "$rest"
