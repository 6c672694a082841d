// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// devices is dynamic resource allocation kept in memory: what Reserve allocates shows in every later answer, until Unreserve.
type devices struct {
	snapshot *snapshot.Snapshot
	claims   map[types.NamespacedName]*resourceapi.ResourceClaim
	classes  map[string]*resourceapi.DeviceClass
	extended map[corev1.ResourceName]*resourceapi.DeviceClass
	pending  map[types.UID]*resourceapi.ResourceClaim // allocated here
	sharers  map[types.UID]int                        // pods placed here that have the claim
}

var (
	_ fwk.SharedDRAManager     = (*devices)(nil)
	_ fwk.ResourceClaimTracker = claimTracker{}
	_ fwk.ResourceSliceLister  = sliceLister{}
	_ fwk.DeviceClassLister    = classLister{}
	_ fwk.DeviceClassResolver  = classLister{}
)

func newDevices(snap *snapshot.Snapshot) *devices {
	objects := snap.Objects()
	d := &devices{
		snapshot: snap,
		claims:   make(map[types.NamespacedName]*resourceapi.ResourceClaim, len(objects.ResourceClaims)),
		classes:  make(map[string]*resourceapi.DeviceClass, len(objects.DeviceClasses)),
		extended: map[corev1.ResourceName]*resourceapi.DeviceClass{},
		pending:  map[types.UID]*resourceapi.ResourceClaim{},
		sharers:  map[types.UID]int{},
	}
	for _, claim := range objects.ResourceClaims {
		d.claims[types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}] = anonymous(claim)
	}
	for _, class := range objects.DeviceClasses {
		d.classes[class.Name] = class
		d.extended[corev1.ResourceName(resourceapi.ResourceDeviceClassPrefix+class.Name)] = class
		if name := ptr.Deref(class.Spec.ExtendedResourceName, ""); name != "" {
			d.extended[corev1.ResourceName(name)] = class
		}
	}
	return d
}

// anonymous returns a claim that is reserved for as many as it was, and for nobody whom the plugin would have to take it from: to give back
// what was placed here it would ask an API server.
func anonymous(claim *resourceapi.ResourceClaim) *resourceapi.ResourceClaim {
	if len(claim.Status.ReservedFor) == 0 {
		return claim
	}
	claim = new(*claim)
	claim.Status.ReservedFor = slices.Repeat([]resourceapi.ResourceClaimConsumerReference{{Resource: "pods", UID: "somebody"}}, len(claim.Status.ReservedFor))
	return claim
}

// offered says whether the pod requests resources that devices may be offered as.
func (d *devices) offered(pod *corev1.Pod) bool {
	if len(d.extended) == 0 {
		return false
	}
	for name := range resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}) {
		if d.extended[name] != nil {
			return true
		}
	}
	return false
}

// claimsOf returns the claims of the pod that exist.
func (d *devices) claimsOf(pod *corev1.Pod) (claims []*resourceapi.ResourceClaim) {
	for i := range pod.Spec.ResourceClaims {
		name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil || name == nil {
			continue
		}
		if claim, known := d.claims[types.NamespacedName{Namespace: pod.Namespace, Name: *name}]; known {
			claims = append(claims, claim)
		}
	}
	return claims
}

// share counts a pod among those that have its claims, or no more. What was allocated here is kept until the last of them goes, of whom but one
// found it allocated.
func (d *devices) share(pod *corev1.Pod, by int) {
	for _, claim := range d.claimsOf(pod) {
		d.sharers[claim.UID] += by
	}
}

// allocated returns what was allocated here to the claims of a pod.
func (d *devices) allocated(pod *corev1.Pod) (claims []*resourceapi.ResourceClaim) {
	for _, claim := range d.claimsOf(pod) {
		if pending, is := d.pending[claim.UID]; is {
			claims = append(claims, pending)
		}
	}
	return claims
}

// restore allocates what was allocated before.
func (d *devices) restore(claims []*resourceapi.ResourceClaim) {
	for _, claim := range claims {
		d.pending[claim.UID] = claim
	}
}

func (d *devices) ResourceClaims() fwk.ResourceClaimTracker     { return claimTracker{d} }
func (d *devices) ResourceSlices() fwk.ResourceSliceLister      { return sliceLister{d} }
func (d *devices) DeviceClasses() fwk.DeviceClassLister         { return classLister{d} }
func (d *devices) DeviceClassResolver() fwk.DeviceClassResolver { return classLister{d} }

type sliceLister struct{ *devices }

// ListWithDeviceTaintRules adds to what drivers have published what they will publish of planned nodes: the devices of a registered node of the
// same size, as a pool of their own.
func (l sliceLister) ListWithDeviceTaintRules() ([]*resourceapi.ResourceSlice, error) {
	published := l.snapshot.Objects().ResourceSlices
	of := map[string][]*resourceapi.ResourceSlice{}
	for _, slice := range published {
		if node := ptr.Deref(slice.Spec.NodeName, ""); node != "" {
			of[node] = append(of[node], slice)
		}
	}
	if len(of) == 0 {
		return published, nil
	}
	all := slices.Clone(published)
	for _, node := range l.snapshot.Nodes() {
		if !l.snapshot.Planned(node.Name) || len(of[node.Name]) > 0 {
			continue
		}
		if twin := l.snapshot.Twin(node); twin != nil {
			for _, slice := range of[twin.Name] {
				all = append(all, expected(slice, twin.Name, node.Name))
			}
		}
	}
	return all, nil
}

func expected(slice *resourceapi.ResourceSlice, twin, node string) *resourceapi.ResourceSlice {
	slice = slice.DeepCopy()
	slice.Name += "-" + node
	slice.UID = types.UID(slice.Name)
	slice.Spec.NodeName = &node
	if slice.Spec.Pool.Name == twin { // which is what most drivers call it
		slice.Spec.Pool.Name = node
	} else {
		slice.Spec.Pool.Name += "-" + node
	}
	return slice
}

type classLister struct{ *devices }

func (l classLister) List() ([]*resourceapi.DeviceClass, error) {
	all := make([]*resourceapi.DeviceClass, 0, len(l.classes))
	for _, class := range l.classes {
		all = append(all, class)
	}
	slices.SortFunc(all, func(a, b *resourceapi.DeviceClass) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (l classLister) Get(name string) (*resourceapi.DeviceClass, error) {
	if class, known := l.classes[name]; known {
		return class, nil
	}
	return nil, apierrors.NewNotFound(resourceapi.Resource("deviceclasses"), name)
}

func (l classLister) GetDeviceClass(name corev1.ResourceName) *resourceapi.DeviceClass {
	return l.extended[name]
}

type claimTracker struct{ *devices }

func (t claimTracker) List() ([]*resourceapi.ResourceClaim, error) {
	all := make([]*resourceapi.ResourceClaim, 0, len(t.claims))
	for _, claim := range t.claims {
		all = append(all, t.current(claim))
	}
	slices.SortFunc(all, func(a, b *resourceapi.ResourceClaim) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return all, nil
}

func (t claimTracker) Get(namespace, name string) (*resourceapi.ResourceClaim, error) {
	if claim, known := t.claims[types.NamespacedName{Namespace: namespace, Name: name}]; known {
		return t.current(claim), nil
	}
	return nil, apierrors.NewNotFound(resourceapi.Resource("resourceclaims"), name)
}

func (t claimTracker) current(claim *resourceapi.ResourceClaim) *resourceapi.ResourceClaim {
	if pending, allocated := t.pending[claim.UID]; allocated {
		return pending
	}
	return claim
}

func (t claimTracker) ListAllAllocatedDevices() (sets.Set[structured.DeviceID], error) {
	state, err := t.GatherAllocatedState()
	if err != nil {
		return nil, err
	}
	return state.AllocatedDevices, nil
}

func (t claimTracker) GatherAllocatedState() (*structured.AllocatedState, error) {
	state := &structured.AllocatedState{
		AllocatedDevices:         sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection(),
	}
	all, err := t.List()
	if err != nil {
		return nil, err
	}
	for _, claim := range t.pending {
		if ofExtended(claim) { // it is in no list
			all = append(all, claim)
		}
	}
	for _, claim := range all {
		if claim.Status.Allocation == nil {
			continue
		}
		for _, result := range claim.Status.Allocation.Devices.Results {
			device := structured.MakeDeviceID(result.Driver, result.Pool, result.Device)
			if result.ShareID == nil {
				state.AllocatedDevices.Insert(device)
				continue
			}
			state.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(device, result.ShareID))
			if result.ConsumedCapacity != nil {
				state.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(device, result.ConsumedCapacity))
			}
		}
	}
	return state, nil
}

func (t claimTracker) SignalClaimPendingAllocation(uid types.UID, claim *resourceapi.ResourceClaim) error {
	key := types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}
	if known, found := t.claims[key]; (!found || known.UID != uid) && !ofExtended(claim) {
		return fmt.Errorf("allocating claim %q: it is not in the snapshot", key)
	}
	t.pending[uid] = claim
	return nil
}

// ofExtended says whether a claim is one that the plugin makes up for resources that devices are offered as.
func ofExtended(claim *resourceapi.ResourceClaim) bool {
	return claim.Annotations[resourceapi.ExtendedResourceClaimAnnotation] == "true"
}

func (t claimTracker) GetPendingAllocation(uid types.UID) *resourceapi.AllocationResult {
	if claim, allocated := t.pending[uid]; allocated {
		return claim.Status.Allocation
	}
	return nil
}

func (t claimTracker) MaybeRemoveClaimPendingAllocation(uid types.UID, forceRemove bool) bool {
	if _, allocated := t.pending[uid]; !allocated || (t.sharers[uid] > 0 && !forceRemove) {
		return false
	}
	delete(t.pending, uid)
	return true
}

// AssumeClaimAfterAPICall is part of binding, which is never simulated.
func (t claimTracker) AssumeClaimAfterAPICall(*resourceapi.ResourceClaim) error { return nil }

// AssumedClaimRestore is part of binding, which is never simulated.
func (t claimTracker) AssumedClaimRestore(string, string) {}
