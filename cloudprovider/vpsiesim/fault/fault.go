// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fault is the closed set of things that can go wrong at the simulated VPSie, and the queue a
// test scripts them in. It turns JSON into checked faults and hands each one to the call it is meant
// for, and keeps which machines a list leaves out meanwhile. It never carries a fault out.
package fault

import (
	"slices"
	"strings"
)

// Kind says what goes wrong.
type Kind string

// The kinds of faults.
const (
	// Status answers with an HTTP status and an HTML page, as a gateway does.
	Status Kind = "status"
	// Error200 answers HTTP 200 with error set, and does nothing.
	Error200 Kind = "error200"
	// LostReplyAfterEffect does what was asked, then closes the connection without an answer.
	LostReplyAfterEffect Kind = "lostReplyAfterEffect"
	// LostReplyBeforeEffect closes the connection and does nothing. Go's HTTP client repeats a GET
	// that fails so on a reused connection, by itself.
	LostReplyBeforeEffect Kind = "lostReplyBeforeEffect"
	// Latency makes the call wait before anything else happens.
	Latency Kind = "latency"
	// RateLimited answers 429, with Retry-After if RetryAfterSeconds is set.
	RateLimited Kind = "rateLimited"
	// NeverAppears accepts an order that never becomes a machine and costs nothing.
	NeverAppears Kind = "neverAppears"
	// NeverJoins leaves the machine at "provisioning", paid for, until it is deleted.
	NeverJoins Kind = "neverJoins"
	// UpperCaseHostname lists the machine in upper case; its node still joins in lower case.
	UpperCaseHostname Kind = "upperCaseHostname"
	// DeleteLies answers a deletion with true and does nothing.
	DeleteLies Kind = "deleteLies"
	// NoStock refuses an order, of SizeID if that is set.
	NoStock Kind = "noStock"
	// ClusterLocked refuses a change to the cluster; the cluster shows lock 1 while it is queued.
	ClusterLocked Kind = "clusterLocked"
	// BalloonMemory boots the machine with MemoryMB, less than was sold.
	BalloonMemory Kind = "balloonMemory"
	// Quota refuses an order in VPSie's words for an account at its limit.
	Quota Kind = "quota"
	// WrongPackage refuses an order, of SizeID if that is set, in VPSie's words for a size that it does not sell there.
	WrongPackage Kind = "wrongPackage"
	// WrongPassword refuses a deletion in VPSie's words for a wrong password of the account.
	WrongPassword Kind = "wrongPassword"
	// SameSize makes the node group that was asked for under another name, and refuses it in VPSie's words, as
	// happens when somebody else was faster.
	SameSize Kind = "sameSize"
	// ExpiredToken refuses the credentials. Tokens that were exchanged are void from then on.
	ExpiredToken Kind = "expiredToken"
	// ObjectReply confirms an order with an object instead of true.
	ObjectReply Kind = "objectReply"
	// Duplicate makes two machines of one order. Both are paid for.
	Duplicate Kind = "duplicate"
	// SlowAppear lists the machine DelaySeconds later than it would be.
	SlowAppear Kind = "slowAppear"
	// Vanishes destroys the machine DelaySeconds after it was listed, without anybody's asking.
	Vanishes Kind = "vanishes"
	// JoinsTwice makes the machine leave the cluster and join it anew DelaySeconds after it would first have joined.
	JoinsTwice Kind = "joinsTwice"
	// SlowDelete keeps the machine DelaySeconds longer.
	SlowDelete Kind = "slowDelete"
	// EmptyList lists no worker for DelaySeconds, although there are some.
	EmptyList Kind = "emptyList"
	// ShortList leaves every other worker out of the list for DelaySeconds.
	ShortList Kind = "shortList"
)

// Kinds lists every kind of fault.
func Kinds() []Kind {
	return []Kind{
		Status, Error200, LostReplyAfterEffect, LostReplyBeforeEffect, Latency, RateLimited,
		NeverAppears, NeverJoins, UpperCaseHostname, DeleteLies, NoStock, ClusterLocked, BalloonMemory,
		Quota, WrongPackage, WrongPassword, SameSize, ExpiredToken, ObjectReply, Duplicate, SlowAppear, Vanishes, JoinsTwice, SlowDelete,
		EmptyList, ShortList,
	}
}

// Call names an endpoint of the simulated VPSie.
type Call string

// The calls a fault can be meant for.
const (
	Authenticate       Call = "authenticate"
	ListDatacenters    Call = "listDatacenters"
	ListOffers         Call = "listOffers"
	ListProjects       Call = "listProjects"
	ListPlanCategories Call = "listPlanCategories"
	ListPlans          Call = "listPlans"
	ListClusters       Call = "listClusters"
	GetCluster         Call = "getCluster"
	ListNodeGroups     Call = "listNodeGroups"
	AddNodeGroup       Call = "addNodeGroup"
	DeleteNodeGroup    Call = "deleteNodeGroup"
	AddSlaveToGroup    Call = "addSlaveToGroup"
	AddSlave           Call = "addSlave"
	DeleteSlave        Call = "deleteSlave"
	ReduceSlave        Call = "reduceSlave"
)

// Calls lists every call.
func Calls() []Call {
	return slices.Concat(
		[]Call{Authenticate, ListDatacenters, ListOffers, ListProjects, ListPlanCategories, ListPlans},
		[]Call{ListClusters, GetCluster, ListNodeGroups},
		Changes(),
	)
}

// Changes lists the calls that change the cluster.
func Changes() []Call {
	return slices.Concat([]Call{AddNodeGroup, DeleteNodeGroup}, Orders(), Deletions())
}

// Orders lists the calls that buy a machine.
func Orders() []Call { return []Call{AddSlaveToGroup, AddSlave} }

// Deletions lists the calls that give a machine back.
func Deletions() []Call { return []Call{DeleteSlave, ReduceSlave} }

// UntilWithdrawn as Times makes a fault strike every call it matches until it is removed.
const UntilWithdrawn = -1

// Fault is one scripted misfortune. Every kind takes call, times and skip; its own fields are in the
// rule of its kind. In the list of pending faults, Times and Skip are what is left of them.
type Fault struct {
	// ID is given by the queue.
	ID   int  `json:"id,omitempty"`
	Kind Kind `json:"kind"`
	// Call is the only call it strikes. Empty is every call the kind can strike.
	Call Call `json:"call,omitempty"`
	// Times is how many calls it strikes: 1 if left out, -1 until it is withdrawn.
	Times int `json:"times,omitempty"`
	// Skip lets that many matching calls pass first.
	Skip int `json:"skip,omitempty"`

	Status            int     `json:"status,omitempty"`
	Body              string  `json:"body,omitempty"`
	Message           string  `json:"message,omitempty"`
	DelaySeconds      float64 `json:"delaySeconds,omitempty"`
	RetryAfterSeconds int     `json:"retryAfterSeconds,omitempty"`
	// RetryAfterDate sends Retry-After as an HTTP date instead of seconds.
	RetryAfterDate bool `json:"retryAfterDate,omitempty"`
	// SizeID limits an order's fault to machines of that size.
	SizeID int `json:"sizeId,omitempty"`
	// Identifier limits a deletion's fault to that machine.
	Identifier string `json:"identifier,omitempty"`
	MemoryMB   int    `json:"memoryMB,omitempty"`
}

// rule is what a kind of fault can strike and which fields it takes.
type rule struct {
	calls []Call
	takes []string
	needs []string
}

func ruleOf(kind Kind) (rule, bool) {
	switch kind {
	case Status:
		return rule{calls: Calls(), takes: []string{"status", "body"}, needs: []string{"status"}}, true
	case Error200:
		return rule{calls: Calls(), takes: []string{"message"}, needs: []string{"message"}}, true
	case LostReplyAfterEffect, LostReplyBeforeEffect:
		return rule{calls: Calls()}, true
	case Latency:
		return rule{calls: Calls(), takes: []string{"delaySeconds"}, needs: []string{"delaySeconds"}}, true
	case RateLimited:
		return rule{calls: Calls(), takes: []string{"retryAfterSeconds", "retryAfterDate"}}, true
	case NeverAppears, NeverJoins, UpperCaseHostname, NoStock, Quota, WrongPackage, ObjectReply, Duplicate:
		return rule{calls: Orders(), takes: []string{"sizeId"}}, true
	case BalloonMemory:
		return rule{calls: Orders(), takes: []string{"sizeId", "memoryMB"}}, true
	case SlowAppear, Vanishes, JoinsTwice:
		return rule{calls: Orders(), takes: []string{"sizeId", "delaySeconds"}, needs: []string{"delaySeconds"}}, true
	case SlowDelete:
		return rule{calls: Deletions(), takes: []string{"identifier", "delaySeconds"}, needs: []string{"delaySeconds"}}, true
	case EmptyList, ShortList:
		return rule{calls: []Call{GetCluster}, takes: []string{"delaySeconds"}, needs: []string{"delaySeconds"}}, true
	case SameSize:
		return rule{calls: []Call{AddNodeGroup}}, true
	case ExpiredToken:
		return rule{calls: slices.DeleteFunc(Calls(), func(c Call) bool { return c == Authenticate })}, true
	case DeleteLies, WrongPassword:
		return rule{calls: Deletions(), takes: []string{"identifier"}}, true
	case ClusterLocked:
		return rule{calls: Changes()}, true
	}
	return rule{}, false
}

// fields lists every field a fault of this kind may carry.
func (r rule) fields() []string {
	return slices.Concat([]string{"kind", "call", "times", "skip"}, r.takes)
}

func join[T ~string](names []T) string {
	texts := make([]string, 0, len(names))
	for _, name := range names {
		texts = append(texts, string(name))
	}
	return strings.Join(texts, ", ")
}
