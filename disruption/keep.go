// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// Rule names what keeps a machine.
type Rule string

// The rules that protect one machine, in the order in which they are asked.
const (
	RuleLeaving          Rule = "Leaving"          // it is on its way out already
	RuleUnmanaged        Rule = "Unmanaged"        // its NodeGroup is gone or not handed to the controller
	RulePaused           Rule = "Paused"           // its NodeGroup is paused
	RulePolicy           Rule = "Policy"           // the policy of its NodeGroup excludes the reason
	RuleNotInitialized   Rule = "NotInitialized"   // it has not joined, is not initialized, or failed
	RuleProtected        Rule = "Protected"        // its Node is annotated as protected
	RuleAnnotationUnread Rule = "AnnotationUnread" // a do-not-disrupt annotation on its Node or a pod cannot be read
	RuleNodeDoNotDisrupt Rule = "NodeDoNotDisrupt" // its Node must not be disrupted
	RulePodDoNotDisrupt  Rule = "PodDoNotDisrupt"  // one of its pods must not be disrupted
	RuleRecentlyChanged  Rule = "RecentlyChanged"  // pods came or left within consolidateAfter
	RuleRecentlyFailed   Rule = "RecentlyFailed"   // a Disruption of it came to nothing a short while ago
	RuleNotEmpty         Rule = "NotEmpty"         // workload runs on it
	RuleMinNodes         Rule = "MinNodes"         // its NodeGroup would have fewer than minNodes
	RuleLimits           Rule = "Limits"           // what comes in its place would exceed the limits of the NodeGroup
	RulePodsNeedIt       Rule = "PodsNeedIt"       // pending pods or headroom would have no other place
	RuleBudget           Rule = "Budget"           // enough others are leaving now
	RuleBudgetUnread     Rule = "BudgetUnread"     // a budget cannot be read
	RuleGone             Rule = "Gone"             // it is no longer the machine that was decided about; only when looked at again
	RuleReasonUnknown    Rule = "ReasonUnknown"    // nobody decides for that reason; only when looked at again
)

// Rules returns all of them.
func Rules() []Rule {
	return []Rule{
		RuleLeaving, RuleUnmanaged, RulePaused, RulePolicy, RuleNotInitialized, RuleProtected, RuleAnnotationUnread, RuleNodeDoNotDisrupt,
		RulePodDoNotDisrupt, RuleRecentlyChanged, RuleRecentlyFailed, RuleNotEmpty, RuleMinNodes, RuleLimits, RulePodsNeedIt, RuleBudget,
		RuleBudgetUnread, RuleGone, RuleReasonUnknown,
	}
}

// Temporary says whether the rule lets the machine go by itself after a while: a decision waits for it instead of being dropped.
func (r Rule) Temporary() bool {
	switch r {
	case RuleRecentlyChanged, RuleRecentlyFailed, RuleBudget, RuleBudgetUnread:
		return true
	default:
		return false
	}
}

// Mistake says whether a person should correct something.
func (r Rule) Mistake() bool { return r == RuleAnnotationUnread || r == RuleBudgetUnread }

func every(Rule) bool       { return true }
func permanent(r Rule) bool { return !r.Temporary() }

// keeper protects one machine: it says why the machine stays, and nothing when it may go.
type keeper struct {
	rule  Rule
	keeps func(p *pass, m state.Machine, why v1alpha1.DisruptionReason) string
}

// keepers are asked in this order; the first that keeps the machine wins. Each may rely on those before it: from notInitialized on
// there is a NodeGroup, from protected on there is a Node.
func keepers() []keeper {
	return []keeper{
		{RuleLeaving, leaving},
		{RuleUnmanaged, unmanaged},
		{RulePaused, paused},
		{RulePolicy, policy},
		{RuleNotInitialized, notInitialized},
		{RuleProtected, protected},
		{RuleAnnotationUnread, annotationUnread},
		{RuleNodeDoNotDisrupt, nodeDoNotDisrupt},
		{RulePodDoNotDisrupt, podDoNotDisrupt},
		{RuleRecentlyChanged, recentlyChanged},
		{RuleRecentlyFailed, recentlyFailed},
	}
}

// kept returns the first of the wanted rules that keeps the machine, nil when it may go for that reason.
func (p *pass) kept(r reason, m state.Machine, wanted func(Rule) bool) *Kept {
	for _, keeper := range keepers() {
		if !wanted(keeper.rule) {
			continue
		}
		if message := keeper.keeps(p, m, r.name); message != "" {
			return &Kept{VPSieNode: m.VPSieNode.Name, Rule: keeper.rule, Message: message}
		}
	}
	if wanted(r.absent) {
		if message := r.lacks(m); message != "" {
			return &Kept{VPSieNode: m.VPSieNode.Name, Rule: r.absent, Message: message}
		}
	}
	return nil
}

func leaving(p *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	return p.leaving[m.VPSieNode.Name]
}

func unmanaged(p *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	group := p.groups[m.VPSieNode.Spec.NodeGroup]
	switch {
	case group == nil:
		return fmt.Sprintf("belongs to NodeGroup %q, which does not exist", m.VPSieNode.Spec.NodeGroup)
	case !group.DeletionTimestamp.IsZero():
		return fmt.Sprintf("belongs to NodeGroup %q, which is being deleted and takes its machines along", group.Name)
	case !group.Managed():
		return fmt.Sprintf("belongs to NodeGroup %q, which does not carry the label %s=%s", group.Name, v1alpha1.ManagedLabel, v1alpha1.ManagedValue)
	}
	return ""
}

func paused(p *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	if mode := p.group(m).Spec.Paused; mode == v1alpha1.PauseDisruption || mode == v1alpha1.PauseAll {
		return fmt.Sprintf("belongs to NodeGroup %q, which has spec.paused: %s", p.group(m).Name, mode)
	}
	return ""
}

// policy speaks of removals that save money only: machines that are broken or out of date go under each policy.
func policy(p *pass, m state.Machine, why v1alpha1.DisruptionReason) string {
	policy := p.group(m).Spec.Disruption.Policy
	never := policy == v1alpha1.DisruptNever && savesMoney(why)
	if never || policy == v1alpha1.DisruptWhenEmpty && why == v1alpha1.ReasonCheaper {
		return fmt.Sprintf("belongs to NodeGroup %q, which has spec.disruption.policy: %s", p.group(m).Name, policy)
	}
	return ""
}

func savesMoney(why v1alpha1.DisruptionReason) bool {
	return why == v1alpha1.ReasonEmpty || why == v1alpha1.ReasonCheaper
}

func notInitialized(_ *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	switch {
	case m.VPSieNode.Status.Phase == v1alpha1.PhaseFailed:
		return "failed, and is cleaned up once its reason could be read"
	case m.Node == nil:
		return "has not joined"
	case !m.Node.DeletionTimestamp.IsZero():
		return "has a Node that is being deleted"
	case !m.Initialized():
		return "is not initialized"
	}
	return ""
}

func protected(_ *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	if m.Node.Annotations[v1alpha1.ProtectedAnnotation] == "true" {
		return fmt.Sprintf("has a Node with the annotation %s=true", v1alpha1.ProtectedAnnotation)
	}
	return ""
}

func annotationUnread(p *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	if _, err := drain.DoNotDisrupt(m.Node, p.Now); err != nil {
		return fmt.Sprintf("has a Node that %v", err)
	}
	for _, pod := range m.Pods {
		if _, err := drain.DoNotDisrupt(pod, p.Now); err != nil {
			return fmt.Sprintf("runs pod %s/%s, which %v", pod.Namespace, pod.Name, err)
		}
	}
	return ""
}

func nodeDoNotDisrupt(p *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	if why, _ := drain.DoNotDisrupt(m.Node, p.Now); why != "" { // annotationUnread took care of the error
		return "has a Node that " + why
	}
	return ""
}

// podDoNotDisrupt asks DaemonSet pods too: whoever annotated one meant it.
func podDoNotDisrupt(p *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	for _, pod := range m.Pods {
		if why, _ := drain.DoNotDisrupt(pod, p.Now); why != "" {
			return fmt.Sprintf("runs pod %s/%s, which %s", pod.Namespace, pod.Name, why)
		}
	}
	return ""
}

const (
	// defaultConsolidateAfter is what the API server fills in.
	defaultConsolidateAfter = 5 * time.Minute
	// firstPods is how long a new machine waits for its first pods whatever consolidateAfter says: kube-scheduler comes back to a
	// pod that it could not place after up to ten seconds.
	firstPods = 15 * time.Second
)

// recentlyChanged keeps a machine that nobody has watched yet for as long as one whose pods just changed.
func recentlyChanged(p *pass, m state.Machine, why v1alpha1.DisruptionReason) string {
	if !savesMoney(why) {
		return ""
	}
	after := defaultConsolidateAfter
	if set := p.group(m).Spec.Disruption.ConsolidateAfter; set != nil {
		after = set.Duration
	}
	initialized := p.Now
	if condition := meta.FindStatusCondition(m.VPSieNode.Status.Conditions, v1alpha1.ConditionInitialized); condition != nil {
		initialized = condition.LastTransitionTime.Time
	}
	since, watched := p.Quiet[m.VPSieNode.UID]
	if !watched {
		since = p.Now
	}
	until := later(later(since, initialized).Add(after), initialized.Add(firstPods))
	if p.Now.Before(until) {
		return fmt.Sprintf("is left alone until %s, because it joined or its pods changed less than %s ago",
			until.UTC().Format(time.RFC3339), max(after, firstPods))
	}
	return ""
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

const (
	// firstRetry is how long a machine is left alone after a Disruption of it came to nothing; it doubles with each until lastRetry.
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

func recentlyFailed(p *pass, m state.Machine, _ v1alpha1.DisruptionReason) string {
	tries := p.failed[m.VPSieNode.UID]
	if len(tries) == 0 {
		return ""
	}
	wait := lastRetry
	if len(tries) <= 6 { // 2^6 minutes are more than the last
		wait = min(wait, firstRetry<<(len(tries)-1))
	}
	if until := tries[len(tries)-1].at.Add(wait); p.Now.Before(until) {
		return fmt.Sprintf("is left alone until %s, because %d Disruptions of it came to nothing", until.UTC().Format(time.RFC3339), len(tries))
	}
	return ""
}

// group returns the NodeGroup of a machine that unmanaged let pass.
func (p *pass) group(m state.Machine) *v1alpha1.NodeGroup {
	return p.groups[m.VPSieNode.Spec.NodeGroup]
}
