// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Labels. ManagedLabel is put by the user on a NodeGroup to hand it to the controller; the others are put by the
// controller on VPSieNodes and Nodes.
const (
	// ManagedLabel with the value "true" says that the controller acts on the object.
	ManagedLabel = Group + "/managed"
	// NodeGroupLabel names the NodeGroup that a VPSieNode or a Node belongs to.
	NodeGroupLabel = Group + "/nodegroup"
	// VPSieNodeLabel names the VPSieNode behind a Node.
	VPSieNodeLabel = Group + "/vpsienode"
	// DatacenterLabel holds the datacenter's identifier.
	DatacenterLabel = Group + "/datacenter"
	// OfferingLabel holds the identifier of the offering that a Node was bought as.
	OfferingLabel = Group + "/offering"
	// CategoryLabel holds the category of the offering, in lower case with hyphens: shared, compute, general, memory.
	CategoryLabel = Group + "/category"
	// CPULabel holds the number of virtual CPUs of the offering.
	CPULabel = Group + "/cpu"
	// MemoryLabel holds the memory of the offering in MiB.
	MemoryLabel = Group + "/memory"
	// ManagedValue is the value of ManagedLabel that hands an object to the controller.
	ManagedValue = "true"
)

// RequirementKeys returns the labels of an offering that a Requirement may be about, sorted. The enum of Requirement.Key lists the same.
func RequirementKeys() []string {
	return []string{
		CategoryLabel,
		CPULabel,
		DatacenterLabel,
		MemoryLabel,
		OfferingLabel,
		corev1.LabelArchStable,
		corev1.LabelInstanceTypeStable,
		corev1.LabelTopologyRegion,
		corev1.LabelTopologyZone,
	}
}

// Annotations.
const (
	// CreationReasonAnnotation repeats spec.creationReason of the VPSieNode on its Node.
	CreationReasonAnnotation = Group + "/creation-reason"
	// VPSIDAnnotation holds VPSie's identifier of the machine, on VPSieNodes and Nodes.
	VPSIDAnnotation = Group + "/vps-id"
	// ProtectedAnnotation with the value "true" on a Node keeps it from every disruption.
	ProtectedAnnotation = Group + "/protected"
	// DoNotDisruptAnnotation on a Pod or a Node holds "true" (never) or a duration ("4h": not before the object is that old).
	DoNotDisruptAnnotation = Group + "/do-not-disrupt"
	// PodsAnnotation on a VPSieNode lists up to 500 pods (namespace/name, separated by commas) that it was ordered for.
	PodsAnnotation = Group + "/pods"
	// PlanAnnotation on a VPSieNode is the same for all that were ordered by one plan: their Nodes open for pods together.
	PlanAnnotation = Group + "/plan"
	// WhyAnnotation on a VPSieNode says in one sentence why this machine was chosen.
	WhyAnnotation = Group + "/why"
)

// Finalizers.
const (
	// NodeGroupFinalizer holds a NodeGroup until every VPSieNode of it is gone.
	NodeGroupFinalizer = "nodegroup." + Group + "/finalizer"
	// VPSieNodeFinalizer holds a VPSieNode until its machine is gone from a fresh inventory.
	VPSieNodeFinalizer = "vpsienode." + Group + "/finalizer"
)

// Taints.
const (
	// UnregisteredTaint, with effect NoExecute, is on a worker from its birth until its labels and taints are applied.
	UnregisteredTaint = Group + "/unregistered"
	// DisruptingTaint, with effect NoSchedule, is on a Node that a Disruption is about to remove.
	DisruptingTaint = Group + "/disrupting"
)

// Conditions of all kinds. Each is a standard metav1.Condition.
const (
	// ConditionReady sums up the others: the object does what it is for.
	ConditionReady = "Ready"
	// ConditionManaged on a NodeGroup says whether the controller acts on it.
	ConditionManaged = "Managed"
	// ConditionOfferingsFound on a NodeGroup says whether at least one offering meets its constraints.
	ConditionOfferingsFound = "OfferingsFound"
	// ConditionCloudReady on a NodeGroup says whether VPSie is reachable with valid credentials.
	ConditionCloudReady = "CloudReady"
	// ConditionBudgetsRead on a NodeGroup says whether all of spec.disruption.budgets can be read; while one cannot, no node is removed.
	ConditionBudgetsRead = "BudgetsRead"
	// ConditionWithinLimits on a NodeGroup is False while a limit keeps it from growing.
	ConditionWithinLimits = "WithinLimits"

	// ConditionLaunched on a VPSieNode: a machine was ordered and recognised in VPSie's inventory.
	ConditionLaunched = "Launched"
	// ConditionRegistered on a VPSieNode: its Node joined and carries our labels and taints.
	ConditionRegistered = "Registered"
	// ConditionInitialized on a VPSieNode: the Node is Ready, startup taints are gone, resources are allocatable.
	ConditionInitialized = "Initialized"
	// ConditionDrifted on a VPSieNode: it no longer is what its NodeGroup asks for.
	ConditionDrifted = "Drifted"
	// ConditionConsolidatable on a VPSieNode: nothing but budgets and waiting times keeps it from being removed or replaced.
	ConditionConsolidatable = "Consolidatable"
	// ConditionDisrupting on a VPSieNode: a Disruption is removing it; the message names it.
	ConditionDisrupting = "Disrupting"
)

// Reasons for which nothing is ordered for a VPSieNode before a person changes something, in its condition Launched; the last may also be that
// of a NodeGroup's condition Ready.
const (
	// ReasonNodeGroupMissing: the NodeGroup is not there, or being deleted.
	ReasonNodeGroupMissing = "NodeGroupMissing"
	// ReasonNodeGroupNotManaged: the NodeGroup does not carry the label that hands it to the controller.
	ReasonNodeGroupNotManaged = "NodeGroupNotManaged"
	// ReasonNodeGroupPaused: the NodeGroup is not to grow now.
	ReasonNodeGroupPaused = "NodeGroupPaused"
	// ReasonLimitReached: with this machine the NodeGroup would exceed maxNodes or one of its limits.
	ReasonLimitReached = "LimitReached"
	// ReasonClusterMismatch: the NodeGroup names another cluster or project than the one that machines are bought for.
	ReasonClusterMismatch = "ClusterMismatch"
)

// CreationReason says what caused a machine to be ordered.
// +kubebuilder:validation:Enum=provisioning;headroom;min-nodes;replacement;recovery;rebalance;metrics;manual;initial
type CreationReason string

// The reasons for which a machine is ordered.
const (
	// CreatedForPods: pods were pending.
	CreatedForPods CreationReason = "provisioning"
	// CreatedForHeadroom: the node group keeps spare room.
	CreatedForHeadroom CreationReason = "headroom"
	// CreatedForMinNodes: the node group had fewer than minNodes.
	CreatedForMinNodes CreationReason = "min-nodes"
	// CreatedAsReplacement: a Disruption replaces machines by this one.
	CreatedAsReplacement CreationReason = "replacement"
	// CreatedToRecover: the machine was there, and its VPSieNode was gone.
	CreatedToRecover CreationReason = "recovery"
	// CreatedForRebalance: kept from the first autoscaler; read, never written.
	CreatedForRebalance CreationReason = "rebalance"
	// CreatedForMetrics: kept from the first autoscaler; read, never written.
	CreatedForMetrics CreationReason = "metrics"
	// CreatedManually: a person made the VPSieNode.
	CreatedManually CreationReason = "manual"
	// CreatedInitially: kept from the first autoscaler; read, never written.
	CreatedInitially CreationReason = "initial"
)
