// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// Finalizer holds a Disruption until its nodes are either gone or as they were.
const Finalizer = "disruption." + v1alpha1.Group + "/finalizer"

// Input is everything that decisions depend on.
type Input struct {
	Now     time.Time
	Picture *state.Picture
	Quiet   map[types.UID]time.Time // by UID of the VPSieNode: since when its workload has been the same
	// Scheduler is the kube-scheduler whose verdicts count, and whose waiting pods do; nil: a stock one.
	Scheduler *simulate.Scheduler
	NodeCost  scheduling.Price // what a machine costs per hour beside its price
}

// Outcome is what was decided. Every VPSieNode of the picture is in exactly one of the two.
type Outcome struct {
	Decisions []*v1alpha1.Disruption // ready to be created, best first
	Kept      []Kept                 // by VPSieNode
}

// Kept is a machine that stays, and why.
type Kept struct {
	VPSieNode string
	Rule      Rule
	Message   string // a sentence without its subject, the machine
}

// Decide returns the machines that may go now, and for every other one the first rule that keeps it. Where several reasons to go
// were looked at, what the last of them met counts. The same input gives the same outcome.
func Decide(in Input) (Outcome, error) { return decideFor(reasons(), in) }

func decideFor(reasons []reason, in Input) (Outcome, error) {
	p, err := newPass(in, nil)
	if err != nil {
		return Outcome{}, err
	}
	defer p.whatIf.close()
	var out Outcome
	kept := map[string]Kept{}
	for _, reason := range reasons {
		for _, next := range reason.propose(p.candidates(reason, kept)) {
			no, err := p.refused(reason, next, every)
			if err != nil {
				return Outcome{}, err
			}
			if no != nil {
				p.keep(next, *no, kept)
				continue
			}
			decision := p.disruption(reason.name, next)
			if err := p.take(next, decision.Name); err != nil {
				return Outcome{}, err
			}
			for _, m := range next.remove {
				delete(kept, m.VPSieNode.Name)
			}
			out.Decisions = append(out.Decisions, decision)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		out.Kept = append(out.Kept, kept[name])
	}
	return out, nil
}

// candidates returns the machines that no keeper keeps from that reason; what keeps the others goes to kept, except for those that
// were decided about for an earlier reason.
func (p *pass) candidates(r reason, kept map[string]Kept) []state.Machine {
	var candidates []state.Machine
	for _, m := range p.Picture.Machines {
		if p.taken[m.VPSieNode.Name] {
			continue
		}
		if no := p.kept(r, m, every); no != nil {
			kept[m.VPSieNode.Name] = *no
		} else {
			candidates = append(candidates, m)
		}
	}
	return candidates
}

// keep writes down what keeps every machine of a proposal.
func (p *pass) keep(next proposal, no Kept, kept map[string]Kept) {
	for _, m := range next.remove {
		kept[m.VPSieNode.Name] = Kept{VPSieNode: m.VPSieNode.Name, Rule: no.Rule, Message: no.Message}
	}
}

// reason is one way for machines to leave. Another one is a file of its own with one of these and a line in reasons.
type reason struct {
	name v1alpha1.DisruptionReason
	// absent is the rule by which machines are kept for which the reason does not hold, lacks says why it does not.
	absent Rule
	lacks  func(m state.Machine) string
	// propose says which candidates should go together and what comes in their place, best first.
	propose func(candidates []state.Machine) []proposal
}

// reasons returns them in the order in which budgets are spent.
func reasons() []reason { return []reason{empty()} }

// proposal is machines that go together, and what comes in their place.
type proposal struct {
	remove []state.Machine
	launch []v1alpha1.Replacement
	pods   []types.NamespacedName // that have to move
}

// pass is one look at one picture.
type pass struct {
	Input
	leaving map[string]string              // VPSieNodes on their way out, with the reason
	taken   map[string]bool                // VPSieNodes that were decided about in this pass
	failed  map[types.UID][]finished       // Disruptions that came to nothing, by UID of the VPSieNode, latest last
	begun   map[string]bool                // VPSieNodes of the Disruption that is looked at again, once it was started
	groups  map[string]*v1alpha1.NodeGroup // by name
	whatIf  *whatIf
}

type finished struct {
	uid types.UID
	at  time.Time
}

// newPass looks at the picture. A Disruption that is looked at again is not in its own way, and neither are others that have not
// been started: they wait for each other's budget nowhere else.
func newPass(in Input, again *v1alpha1.Disruption) (*pass, error) {
	p := &pass{
		Input:   in,
		leaving: map[string]string{},
		taken:   map[string]bool{},
		failed:  map[types.UID][]finished{},
		begun:   map[string]bool{},
		groups:  make(map[string]*v1alpha1.NodeGroup, len(in.Picture.NodeGroups)),
	}
	for _, ng := range in.Picture.NodeGroups {
		p.groups[ng.Name] = ng
	}
	for _, d := range in.Picture.Disruptions {
		switch {
		case d.Status.Phase.Finished():
			p.remember(d)
		case again != nil && (d.UID == again.UID || !Started(d.Status.Phase)):
		default:
			for _, removal := range d.Spec.Remove {
				p.leaving[removal.VPSieNode] = fmt.Sprintf("is being removed by Disruption %q", d.Name)
			}
		}
	}
	for _, m := range in.Picture.Machines {
		if !m.VPSieNode.DeletionTimestamp.IsZero() {
			p.leaving[m.VPSieNode.Name] = "is being deleted"
		}
	}
	if again != nil && Started(again.Status.Phase) {
		for _, removal := range again.Spec.Remove {
			p.begun[removal.VPSieNode] = true
		}
	}
	for _, tries := range p.failed {
		slices.SortFunc(tries, func(a, b finished) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.uid, b.uid)) })
	}
	var err error
	p.whatIf, err = newWhatIf(p)
	return p, err
}

// Started says whether a Disruption in that phase may have touched a node.
func Started(phase v1alpha1.DisruptionPhase) bool {
	switch phase {
	case v1alpha1.DisruptionLaunching, v1alpha1.DisruptionDraining, v1alpha1.DisruptionVerifying:
		return true
	default:
		return false
	}
}

func (p *pass) remember(d *v1alpha1.Disruption) {
	if d.Status.Phase == v1alpha1.DisruptionSucceeded || d.Status.FinishedAt == nil {
		return
	}
	for _, removal := range d.Spec.Remove {
		uid := types.UID(removal.UID)
		p.failed[uid] = append(p.failed[uid], finished{uid: d.UID, at: d.Status.FinishedAt.Time})
	}
}

// take counts the machines as leaving for the rest of the pass.
func (p *pass) take(next proposal, disruption string) error {
	for _, m := range next.remove {
		p.taken[m.VPSieNode.Name] = true
		p.leaving[m.VPSieNode.Name] = fmt.Sprintf("is being removed by Disruption %q", disruption)
	}
	return p.whatIf.without(next.remove)
}

// disruption writes the proposal down. Its name is made of what is decided, so that the same decision is never written twice.
func (p *pass) disruption(reason v1alpha1.DisruptionReason, next proposal) *v1alpha1.Disruption {
	first := next.remove[0].VPSieNode
	group := p.groups[first.Spec.NodeGroup]
	d := &v1alpha1.Disruption{
		ObjectMeta: metav1.ObjectMeta{
			Name:       p.name(reason, next),
			Labels:     map[string]string{v1alpha1.NodeGroupLabel: group.Name},
			Finalizers: []string{Finalizer},
		},
		Spec: v1alpha1.DisruptionSpec{
			Reason: reason, NodeGroup: group.Name, Launch: next.launch, SavingsPerHour: p.savings(next).Decimal(), Approved: v1alpha1.ApprovedYes,
		},
	}
	if group.Spec.Disruption.Approval == v1alpha1.ApprovalRequired {
		d.Spec.Approved = v1alpha1.ApprovedNo
	}
	for _, m := range next.remove {
		removal := v1alpha1.Removal{
			VPSieNode: m.VPSieNode.Name, UID: string(m.VPSieNode.UID), PricePerHour: price(m).API(),
			Offering: cmp.Or(m.VPSieNode.Status.Offering, state.Choice(m.VPSieNode).Name),
		}
		if m.Node != nil {
			removal.Node = m.Node.Name
		}
		d.Spec.Remove = append(d.Spec.Remove, removal)
	}
	for _, pod := range next.pods[:min(len(next.pods), mostPods)] {
		d.Spec.Pods = append(d.Spec.Pods, pod.String())
	}
	return d
}

// mostPods is how many pods a Disruption can name.
const mostPods = 200

// name ends in a hash of who goes and of the decision that failed before: after a failure the same decision is another one.
func (p *pass) name(reason v1alpha1.DisruptionReason, next proposal) string {
	hash := sha256.New()
	for _, m := range next.remove {
		fmt.Fprintln(hash, m.VPSieNode.UID)
		if tries := p.failed[m.VPSieNode.UID]; len(tries) > 0 {
			fmt.Fprintln(hash, "after", tries[len(tries)-1].uid)
		}
	}
	return fmt.Sprintf("%s-%s-%s", strings.ToLower(string(reason)), next.remove[0].VPSieNode.Name, hex.EncodeToString(hash.Sum(nil))[:8])
}

// price returns what the machine costs per hour; a price that cannot be read saves nothing.
func price(m state.Machine) scheduling.Price {
	result, err := scheduling.ParsePrice(cmp.Or(m.VPSieNode.Status.PricePerHour, state.Choice(m.VPSieNode).PricePerHour))
	if err != nil {
		return 0
	}
	return result
}

// savings is the cost of what goes less that of what comes, both counted as in plans: with the node cost of each machine.
func (p *pass) savings(next proposal) scheduling.Price {
	sum := p.NodeCost * scheduling.Price(len(next.remove)-len(next.launch))
	for _, m := range next.remove {
		sum += price(m)
	}
	for _, replacement := range next.launch {
		if len(replacement.Spec.Offerings) == 0 {
			continue
		}
		if cost, err := scheduling.ParsePrice(replacement.Spec.Offerings[0].PricePerHour); err == nil {
			sum -= cost
		}
	}
	return sum
}
