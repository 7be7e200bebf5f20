package tcpstack

// OpenStats count what connections negotiate, and what became of it; the comments give Linux's names. Part of
// [ShardStats].
type OpenStats struct {
	CEReceived  uint64 // data segments with a CE mark (InCEPkts counts them before GRO is undone)
	ECEReceived uint64 // ACKs with the echo of one

	CookiesAgreed uint64 // connections with cookies, see Config.Cookies

	FastOpenPassive        uint64 // TCPFastOpenPassive: connections accepted with data in the SYN
	FastOpenPassiveFail    uint64 // TCPFastOpenPassiveFail: cookies that were not good
	FastOpenListenOverflow uint64 // TCPFastOpenListenOverflow: the listener's queue was full
	FastOpenCookieReqd     uint64 // TCPFastOpenCookieReqd: cookies asked for
	FastOpenActive         uint64 // TCPFastOpenActive: data in our SYN was acknowledged
	FastOpenActiveFail     uint64 // TCPFastOpenActiveFail: it was not

	MTUPSuccess   uint64 // TCPMTUPSuccess: probes of the path MTU that arrived
	MTUPFail      uint64 // TCPMTUPFail: that alone were lost
	MTUBlackHoles uint64 // black holes found (FreeBSD: pmtud_blackhole_activated)
}

func (v *OpenStats) fields() []*uint64 {
	return []*uint64{
		&v.CEReceived, &v.ECEReceived, &v.MTUPSuccess, &v.MTUPFail, &v.MTUBlackHoles,
		&v.FastOpenPassive, &v.FastOpenPassiveFail, &v.FastOpenListenOverflow, &v.FastOpenCookieReqd,
		&v.CookiesAgreed, &v.FastOpenActive, &v.FastOpenActiveFail,
	}
}
