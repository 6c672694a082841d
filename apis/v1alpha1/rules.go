// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DisruptionRules say when and how fast machines of a pool may be removed or replaced.
type DisruptionRules struct {
	// policy is WhenEmpty (remove a machine when no workload pod is left), WhenCheaper (also replace or merge machines when
	// that saves money) or Never (neither). Expired, drifted and unhealthy machines are replaced under each policy.
	// +optional
	// +kubebuilder:default=WhenCheaper
	// +kubebuilder:validation:Enum=WhenEmpty;WhenCheaper;Never
	Policy DisruptionPolicy `json:"policy,omitempty"`

	// consolidateAfter is how long a machine must have been left alone by pod arrivals and departures before it is removed or replaced
	// to save money.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}([.][0-9]{1,9})?s)?$') && duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="consolidateAfter must be a duration from 0s to 720h, such as 5m"
	ConsolidateAfter *metav1.Duration `json:"consolidateAfter,omitempty"`

	// minimumSavings is the least saving per hour for which machines that run pods are replaced or merged. Left out: any saving.
	// +optional
	MinimumSavings *Price `json:"minimumSavings,omitempty"`

	// budgets bound how many machines leave at the same time. The smallest of those in force counts. Left out: one budget of 10%.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Budgets []Budget `json:"budgets,omitempty"`

	// approval is Automatic (decisions are carried out) or Required (each Disruption waits until a person sets spec.approved).
	// +optional
	// +kubebuilder:default=Automatic
	// +kubebuilder:validation:Enum=Automatic;Required
	Approval ApprovalMode `json:"approval,omitempty"`
}

// DisruptionPolicy says what is reason enough to remove a healthy machine.
type DisruptionPolicy string

// The disruption policies.
const (
	DisruptWhenEmpty   DisruptionPolicy = "WhenEmpty"
	DisruptWhenCheaper DisruptionPolicy = "WhenCheaper"
	DisruptNever       DisruptionPolicy = "Never"
)

// ApprovalMode says whether decisions wait for a person.
type ApprovalMode string

// The approval modes.
const (
	ApprovalAutomatic ApprovalMode = "Automatic"
	ApprovalRequired  ApprovalMode = "Required"
)

// Budget bounds how many machines of a pool leave at the same time, always or within a schedule.
//
// +kubebuilder:validation:XValidation:rule="has(self.schedule) == has(self.duration)",fieldPath=".schedule",message="schedule and duration must be set together; add the other one or remove both"
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.schedule)",fieldPath=".timeZone",message="timeZone must come with a schedule; add schedule and duration or remove timeZone"
type Budget struct {
	// nodes is the number ("3") or the share ("10%", rounded up) of the pool's machines that may be leaving at the same time.
	// +required
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="self.matches('^((100|[0-9]{1,2})%|[0-9]{1,4})$')",message="nodes must be a number of machines such as \"3\" or a share such as \"10%\", at most 9999 or 100%"
	Nodes string `json:"nodes,omitempty"`

	// reasons are what this budget is for. Left out: every reason.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	Reasons []DisruptionReason `json:"reasons,omitempty"`

	// schedule is the start of the window in which this budget is in force, as five cron fields or @daily and the like.
	// +optional
	// +kubebuilder:validation:MaxLength=120
	// +kubebuilder:validation:XValidation:rule="self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[0-9*/,?-]+( +[0-9*/,?-]+){2}( +[0-9A-Za-z*/,?-]+){2})$')",message="schedule must be five cron fields (minute, hour, day of month, month, weekday 0-6) such as 0 22 * * 1-5, or @hourly, @daily, @weekly, @monthly or @yearly"
	Schedule *string `json:"schedule,omitempty"`

	// duration is how long the window stays open.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}([.][0-9]{1,9})?s)?$') && duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="duration must be a duration from 1m to 8760h, such as 8h"
	Duration *metav1.Duration `json:"duration,omitempty"`

	// timeZone is the IANA name of the zone in which schedule is read. Left out: UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self != 'Local' && self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')",message="timeZone must be an IANA name such as Europe/Helsinki or UTC"
	TimeZone *string `json:"timeZone,omitempty"`
}
