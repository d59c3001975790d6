divert(-1)
dnl # Makes Sendmail 8.17 the MTA of a PEC provider. sendmail.mc beside this file shows
dnl # how: include it after all FEATUREs and before MAILER(`smtp'), with
dnl # FEATURE(`no_default_msa'). README.md says how to put it to use.
dnl #
dnl #   PEC_DOMAIN(`alfa.example')   a certified domain; one line for each, after include
dnl #
dnl # Settings, by define() before include:
dnl #   PEC_SOCKETS     directory of pec-milter's sockets; each directory above them belongs
dnl #                   to root or the socket's owner, and nobody else may write there
dnl #   PEC_INCOMING    where the world sends: Port=, Addr= as in DAEMON_OPTIONS
dnl #   PEC_ACCESS      where users submit, STARTTLS
dnl #   PEC_ACCESS_TLS  where users submit, TLS at once; empty: nowhere
dnl #   PEC_INJECT      where the notices of pec-milter come in: on loopback
_DEFIFNOT(`PEC_SOCKETS', `/run/pec-milter')
_DEFIFNOT(`PEC_INCOMING', `Port=smtp')
_DEFIFNOT(`PEC_ACCESS', `Port=submission')
_DEFIFNOT(`PEC_ACCESS_TLS', `Port=submissions')
_DEFIFNOT(`PEC_INJECT', `Addr=127.0.0.1, Port=10027')

dnl # The queue owns the mail: on disk before the 250, and one queue file for a message
dnl # with its outbox recipients. So no QUEUE_GROUP, no FEATURE(`queuegroup') and no r= of a
dnl # mailer: each of them splits a message, and a notice is lost or speaks of nothing.
define(`confSAFE_QUEUE', `True')
define(`confDELIVERY_MODE', `background')

dnl # The doors. F=T: without pec-milter nothing passes. With F=R mail is refused for good, and
dnl # with an empty F it passes uncertified. What no daemon of ours takes, as
dnl # sendmail -bs does, is judged as mail from the world.
MAIL_FILTER(`pecaccess', `S=local:PEC_SOCKETS/access.sock, F=T, T=C:30s;S:30s;R:60s;E:5m')
MAIL_FILTER(`pecincoming', `S=local:PEC_SOCKETS/incoming.sock, F=T, T=C:30s;S:30s;R:60s;E:5m')
define(`confINPUT_MAIL_FILTERS', `pecincoming')

dnl # M=: a, AUTH is required; A, it is not offered; E, no ETRN; s, TLS at once.
DAEMON_OPTIONS(`Name=PEC-INCOMING, PEC_INCOMING, M=AE, InputMailFilters=pecincoming')
DAEMON_OPTIONS(`Name=PEC-ACCESS, PEC_ACCESS, M=Ea, InputMailFilters=pecaccess')
ifelse(defn(`PEC_ACCESS_TLS'), `', `',
`DAEMON_OPTIONS(`Name=PEC-ACCESS-TLS, PEC_ACCESS_TLS, M=Eas, InputMailFilters=pecaccess')')
dnl # Notices are signed already: this one has no filter.
DAEMON_OPTIONS(`Name=PEC-INJECT, PEC_INJECT, M=AE, InputMailFilters=')

dnl # Users: passwords under TLS alone, and at least TLS 1.2, as toward other providers.
define(`confAUTH_MECHANISMS', `PLAIN LOGIN')
define(`confAUTH_OPTIONS', `A,p,y')
TRUST_AUTH_MECH(`PLAIN LOGIN')
define(`confTLS_SRV_OPTIONS', `V')
define(`confSERVER_SSL_OPTIONS', `+SSL_OP_NO_SSLv2 +SSL_OP_NO_SSLv3 +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1 +SSL_OP_CIPHER_SERVER_PREFERENCE')
define(`confCLIENT_SSL_OPTIONS', `+SSL_OP_NO_SSLv2 +SSL_OP_NO_SSLv3 +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1')

dnl # Byte for byte, in and out. Old style headers make To: "A, B" <x> two addresses; the
dnl # mailer flags D, F and M add fields; a line limit (L=) and a conversion to seven bits
dnl # break signatures; authwarnings would add a field too.
define(`confOLD_STYLE_HEADERS', `False')
define(`confEIGHT_BIT_HANDLING', `pass8')
define(`confMAX_HEADERS_LENGTH', `262144')
define(`confMAX_MIME_HEADER_LENGTH', `0/0')
define(`confNO_RCPT_ACTION', `none')
define(`confPRIVACY_FLAGS', `needmailhelo,noexpn,novrfy,noetrn,noverb,restrictmailq,restrictqrun,restrictexpand,nobodyreturn')
define(`SMTP_MAILER_FLAGS', `8')
define(`SMTP_MAILER_LL', `0')
define(`RELAY_MAILER_LL', `0')
MODIFY_MAILER_FLAGS(`SMTP', `-DFM')
MODIFY_MAILER_FLAGS(`ESMTP', `-DFM')
MODIFY_MAILER_FLAGS(`SMTP8', `-DFM')
MODIFY_MAILER_FLAGS(`DSMTP', `-DFM')
MODIFY_MAILER_FLAGS(`RELAY', `-DFM')
FEATURE(`nocanonify')

dnl # pec-milter bounds what users and the world may send (mta.max_size). An envelope or a
dnl # receipt is an original and some more, and is not to be refused here.
define(`confMAX_MESSAGE_SIZE', `335544320')

dnl # A client must not have a message given up in a minute (BY=60;R), and the notices that are
dnl # owed with it.
define(`confDELIVER_BY_MIN', `-1')

dnl # Time. An outbox recipient and a mailbox must outlast 24 hours; a certified message to
dnl # another provider ends after them, for pec-milter says so (pecexpired below). No unsigned
dnl # warnings; and a bounce of a bounce is no mail.
define(`confTO_QUEUERETURN', `5d')
define(`confTO_QUEUERETURN_NORMAL', `5d')
define(`confTO_QUEUERETURN_URGENT', `5d')
define(`confTO_QUEUERETURN_NONURGENT', `5d')
define(`confTO_QUEUERETURN_DSN', `5d')
define(`confTO_QUEUEWARN', `0')
define(`confTO_QUEUEWARN_NORMAL', `0')
define(`confTO_QUEUEWARN_URGENT', `0')
define(`confTO_QUEUEWARN_NONURGENT', `0')
define(`confTO_QUEUEWARN_DSN', `0')
define(`confDOUBLE_BOUNCE_ADDRESS', `')

dnl # The certified domains and the outbox go to the delivery door. They are in no class w:
dnl # Sendmail would look for aliases and local users.
define(`PEC_DOMAIN', `PUSHDIVERT(6)C{R}$1
C{PecDomain}$1
POPDIVERT`'')

dnl # u: a transaction's identifier stays as it is. z: LMTP, a reply for each recipient.
PUSHDIVERT(7)
#####################################
###   LMTP to the delivery door   ###
#####################################
Mpecdoor,	P=[IPC], F=mXuz8kq0W, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP/EnvToSMTP, E=\r\n, L=0,
		T=DNS/RFC822/SMTP,
		A=FILE PEC_SOCKETS/delivery.sock
POPDIVERT

PUSHDIVERT(6)
C{PecOutbox}outbox.pec-milter.invalid
dnl # Asked for each recipient and at each try: EXPIRED ends a certified message to another
dnl # provider after 24 hours. Without an answer the mail stays in the queue. Without -f
dnl # queue ids would be asked in lower case, and none be found.
Kpecexpired socket -f unix:PEC_SOCKETS/lifetime.sock
POPDIVERT

PUSHDIVERT(3)
R$+ < @ $={PecOutbox} . >	$#pecdoor $@ localhost $: $1 < @ $2 . >
R$+ < @ $={PecOutbox} >	$#pecdoor $@ localhost $: $1 < @ $2 . >
R$+ < @ $={PecDomain} . >	$#pecdoor $@ localhost $: $1 < @ $2 . >
R$+ < @ $={PecDomain} >	$#pecdoor $@ localhost $: $1 < @ $2 . >
R$+ < @ $+ . >		$: $( pecexpired $&i/$1@$2 $: LIVE $) $| $1 < @ $2 . >
REXPIRED $| $*		$#error $@ 5.4.7 $: "554 5.4.7 not delivered within 24 hours"
R$* $| $*		$: $2
POPDIVERT

dnl # The outbox is for the milter and for inject alone. Port 25 takes mail for the domains of
dnl # this Sendmail, and relays for nobody, this machine included: that would be past the access
dnl # door.
PUSHDIVERT(9)
SLocal_check_rcpt
R$*			$: $1 $| <$&{daemon_name}> $>CanonAddr $1
R$* $| <PEC-INJECT> $*	$@ $1
R$* $| <$*> $* < @ $* $={PecOutbox} $* > $*	$#error $@ 5.7.1 $: "554 5.7.1 internal domain"
R$* $| <$*> $* $={PecOutbox} $*	$#error $@ 5.7.1 $: "554 5.7.1 internal domain"
R$* $| <PEC-ACCESS> $*	$@ $>pecnotify $1
R$* $| <PEC-ACCESS-TLS> $*	$@ $>pecnotify $1
R$* $| <$*> $* < @ $* $=R . > $*	$@ $1
R$* $| <$*> $* < @ $* $=R > $*	$@ $1
R$* $| <$*> $* < @ $=w . > $*	$@ $1
R$* $| <$*> $* < @ $=w > $*	$@ $1
R$* $| <$*> $* < @ $* > $*	$#error $@ 5.7.1 $: "554 5.7.1 relaying denied: users submit with a password"
R$* $| $*		$@ $1
POPDIVERT

dnl # Of a failure we know by the report to the sender: a client must not have nobody told. The
dnl # privacy flag noreceipts is no way out: then the milter must not either, who asks that nobody
dnl # be told of an outbox recipient.
PUSHDIVERT(9)
Specnotify
R$*			$: <$&{dsn_notify}> $1
R<> $*			$@ $1
R<$* FAILURE $*> $*	$@ $3
R<$+> $*		$#error $@ 5.7.1 $: "553 5.7.1 NOTIFY without FAILURE: nobody would learn of a failure"
POPDIVERT
divert(0)dnl
VERSIONID(`pec-milter: a PEC provider, RFC 6109')dnl
