package doctor

// Seals tells whether the legal log is sealed in time. late is what is late, for
// people; empty: nothing.
func Seals(late string, err error) Finding {
	const check, repair = "legal_log.seals", "pec-milter log seal --config FILE says what is in its way"
	switch {
	case err != nil:
		return bad(check, "correct what it names", "%v", err)
	case late != "":
		return bad(check, repair, "%s", late)
	}
	return good(check, "nothing is late")
}

// Stamps tells whether the seals get time stamps.
func Stamps(authority string) Finding {
	const check = "legal_log.tsa"
	if authority == "" {
		return notChecked(check, "there is no time-stamping authority: the seals have no time stamp, which the law asks for")
	}
	return good(check, "%s", authority)
}
