// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// Chance is a fault and how likely it strikes a call that it can strike, from 0 to 1.
type Chance struct {
	Probability float64 `json:"probability"`
	Fault       Fault   `json:"fault"`
}

// Mix is faults that strike by chance: the same mix, asked about the same calls in the same order, strikes the same ones.
type Mix struct {
	Seed    int64    `json:"seed"`
	Chances []Chance `json:"chances"`
}

// Harsh is a mix of everything that VPSie is known or feared to do, but for WrongPassword: that ends only when a person changes the
// Secret. With intensity 1 about a fifth of all orders and deletions do not simply succeed; 0 is a cloud without faults.
func Harsh(seed int64, intensity float64) Mix {
	const changes = 3 // so much more often than reads
	m := Mix{Seed: seed}
	chance := func(probability float64, f Fault) {
		m.Chances = append(m.Chances, Chance{Probability: min(max(probability*intensity, 0), 1), Fault: f})
	}
	for _, call := range slices.Concat(Orders(), Deletions()) {
		chance(0.01*changes, Fault{Kind: LostReplyAfterEffect, Call: call})
		chance(0.01*changes, Fault{Kind: LostReplyBeforeEffect, Call: call})
		chance(0.02, Fault{Kind: ClusterLocked, Call: call})
	}
	chance(0.01, Fault{Kind: Status, Status: 502})
	chance(0.005, Fault{Kind: Status, Status: 503})
	chance(0.005, Fault{Kind: Error200, Message: "Something went wrong, please try again"})
	chance(0.005, Fault{Kind: Latency, DelaySeconds: 20})
	chance(0.01, Fault{Kind: RateLimited})
	chance(0.01, Fault{Kind: RateLimited, RetryAfterSeconds: 5})
	chance(0.005, Fault{Kind: RateLimited, RetryAfterSeconds: 5, RetryAfterDate: true})
	chance(0.003, Fault{Kind: ExpiredToken})
	chance(0.02, Fault{Kind: NoStock})
	chance(0.005, Fault{Kind: Quota})
	chance(0.01, Fault{Kind: WrongPackage})
	chance(0.1, Fault{Kind: SameSize})
	chance(0.02, Fault{Kind: NeverAppears})
	chance(0.02, Fault{Kind: SlowAppear, DelaySeconds: 300})
	chance(0.02, Fault{Kind: NeverJoins})
	chance(0.02, Fault{Kind: JoinsTwice, DelaySeconds: 120})
	chance(0.02, Fault{Kind: Vanishes, DelaySeconds: 90})
	chance(0.01, Fault{Kind: Duplicate})
	chance(0.1, Fault{Kind: UpperCaseHostname})
	chance(0.1, Fault{Kind: ObjectReply})
	chance(0.05, Fault{Kind: BalloonMemory})
	chance(0.04, Fault{Kind: DeleteLies})
	chance(0.04, Fault{Kind: SlowDelete, DelaySeconds: 240})
	chance(0.003, Fault{Kind: EmptyList, DelaySeconds: 60})
	chance(0.003, Fault{Kind: ShortList, DelaySeconds: 60})
	return m
}

// Without returns the mix less some kinds.
func (m Mix) Without(kinds ...Kind) Mix {
	m.Chances = slices.DeleteFunc(slices.Clone(m.Chances), func(c Chance) bool { return slices.Contains(kinds, c.Fault.Kind) })
	return m
}

// Validate says which chance cannot be used, and why.
func (m Mix) Validate() error {
	for i, c := range m.Chances {
		if !(c.Probability >= 0 && c.Probability <= 1) { // also refuses what is not a number
			return &FieldError{fmt.Sprintf("chances[%d].probability", i), fmt.Sprintf("%v is not from 0 to 1", c.Probability)}
		}
		data, err := json.Marshal(c.Fault)
		if err == nil {
			_, err = parseOne(data)
		}
		if wrong, ok := errors.AsType[*FieldError](err); ok {
			wrong.Field = fmt.Sprintf("chances[%d].fault.%s", i, wrong.Field)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ParseMix reads a Mix, or {"seed": n, "harsh": intensity}, and checks every field.
func ParseMix(data []byte) (Mix, error) {
	var given struct {
		Seed    int64    `json:"seed"`
		Harsh   *float64 `json:"harsh"`
		Chances []Chance `json:"chances"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&given); err != nil {
		return Mix{}, fmt.Errorf("reading a mix of faults: %w; its fields are: seed, harsh (intensity), chances (each with probability and fault)", err)
	}
	switch {
	case given.Harsh != nil && given.Chances != nil:
		return Mix{}, &FieldError{"harsh", "it comes with chances of its own; leave one of the two out"}
	case given.Harsh != nil && !(*given.Harsh >= 0):
		return Mix{}, &FieldError{"harsh", fmt.Sprintf("%v is negative", *given.Harsh)}
	case given.Harsh != nil:
		return Harsh(given.Seed, *given.Harsh), nil
	}
	m := Mix{Seed: given.Seed, Chances: given.Chances}
	for i := range m.Chances {
		m.Chances[i].Fault.Times = 1
	}
	return m, m.Validate()
}

// draws is a Mix that is being drawn from.
type draws struct {
	chances []Chance
	random  *rand.Rand
}

func (m Mix) start() *draws {
	if len(m.Chances) == 0 {
		return nil
	}
	return &draws{chances: slices.Clone(m.Chances), random: rand.New(rand.NewPCG(uint64(m.Seed), 0x5eed))}
}

// take draws for each chance that could strike, whether an earlier one struck or not: so that the next call's luck does not
// depend on this one's.
func (d *draws) take(target Target, kinds []Kind) (struck Fault, ok bool) {
	if d == nil {
		return Fault{}, false
	}
	for _, c := range d.chances {
		if !slices.Contains(kinds, c.Fault.Kind) || !c.Fault.strikes(target) {
			continue
		}
		if d.random.Float64() < c.Probability && !ok {
			struck, ok = c.Fault, true
		}
	}
	return struck, ok
}
