package main

import (
	"slices"
	"time"
)

// Report is printed as JSON: the whole run, then each phase. Times are in milliseconds.
type Report struct {
	Part
	Offered  float64        `json:"offered"` // by the first phase
	Seconds  float64        `json:"seconds"`
	Achieved float64        `json:"achieved"`
	Received int            `json:"received"` // bytes of replies
	Closed   int            `json:"closed"`   // connections that the server ended; each was opened anew
	Phases   []Part         `json:"phases"`
	Refusals map[string]int `json:"refusals"` // different replies other than 2xx, and how often
}

// Part is what became of some requests. Lag is how late one left this program though a connection was free.
type Part struct {
	Sent        int     `json:"sent"`
	OK          int     `json:"ok"`
	Not2xx      int     `json:"not_2xx"`
	Unsent      int     `json:"unsent"`
	NoReply     int     `json:"no_reply"`
	P50         float64 `json:"p50_ms"`
	P99         float64 `json:"p99_ms"`
	P999        float64 `json:"p999_ms"`
	Max         float64 `json:"max_ms"`
	AcceptedP50 float64 `json:"accepted_p50_ms"` // of those answered 2xx
	AcceptedP99 float64 `json:"accepted_p99_ms"`
	LagP99      float64 `json:"lag_p99_ms"`
	Slots       []Slot  `json:"slots,omitempty"` // by tenths of a second
}

// Slot is what became of the requests that were due within a tenth of a second.
type Slot struct {
	OK      int     `json:"ok"`
	Bad     int     `json:"bad"`
	Slowest float64 `json:"slowest_ms"` // of those answered 2xx
}

const slotLength = 100 * time.Millisecond

func (l *loop) report() *Report {
	elapsed := l.finished.Sub(l.start)
	// What never left or never came back has waited at least until now, and counts as that.
	for i := range l.total {
		if i >= l.next {
			l.since[i] = l.due(i)
		}
		if l.status[i] == 0 {
			l.latency[i] = elapsed - l.since[i]
		}
	}
	r := &Report{Part: l.part(0, l.total), Offered: l.phases[0].rate, Seconds: elapsed.Seconds(),
		Received: l.received, Closed: l.closed, Refusals: l.refusals}
	r.Achieved = float64(r.OK) / r.Seconds
	for _, p := range l.phases {
		part := l.part(p.first, p.last)
		part.Slots = l.slots(p)
		r.Phases = append(r.Phases, part)
	}
	return r
}

// part sums up requests first to last-1.
func (l *loop) part(first, last int) Part {
	r := Part{Sent: max(min(l.next, last)-first, 0)}
	r.Unsent = last - first - r.Sent
	var accepted []time.Duration
	for i := first; i < last; i++ {
		switch status := l.status[i]; {
		case status == 0:
			r.NoReply++
		case status/100 == 2:
			r.OK++
			accepted = append(accepted, l.latency[i])
		default:
			r.Not2xx++
		}
	}
	r.NoReply -= r.Unsent
	slices.Sort(accepted)
	r.AcceptedP50, r.AcceptedP99 = quantile(accepted, 0.5), quantile(accepted, 0.99)
	all, lag := slices.Clone(l.latency[first:last]), slices.Clone(l.lag[first:first+r.Sent])
	slices.Sort(all)
	slices.Sort(lag)
	r.P50, r.P99, r.P999 = quantile(all, 0.5), quantile(all, 0.99), quantile(all, 0.999)
	r.Max, r.LagP99 = quantile(all, 1), quantile(lag, 0.99)
	return r
}

// slots tells what became of the requests that were due in each tenth of a second of a phase.
func (l *loop) slots(p phase) []Slot {
	slots := make([]Slot, int(p.length/slotLength)+1)
	for i := p.first; i < p.last; i++ {
		slot := &slots[(l.since[i]-p.begin)/slotLength]
		if l.status[i]/100 != 2 {
			slot.Bad++
			continue
		}
		slot.OK++
		slot.Slowest = max(slot.Slowest, milliseconds(l.latency[i]))
	}
	return slots
}

func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return milliseconds(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
