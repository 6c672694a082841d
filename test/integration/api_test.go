// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// boundsOf are the bounds of every kind.
func boundsOf(kind string) []bound {
	switch kind {
	case "NodeGroup":
		return nodeGroupBounds()
	case "VPSieNode":
		return vpsieNodeBounds()
	case "Disruption":
		return disruptionBounds()
	default:
		return nil
	}
}

var _ = Describe("The generated CRDs", Label("basic"), func() {
	It("hold no rule without a test that is refused by it, and no test is about a rule that is gone", func() {
		crds, err := readCRDs()
		Expect(err).NotTo(HaveOccurred())
		Expect(slices.Sorted(maps.Keys(crds))).To(Equal([]string{"Disruption", "NodeGroup", "VPSieNode"}))
		for kind, crd := range crds {
			rules, bounds := schemaRules(crd), boundsOf(kind)
			for _, rule := range rules {
				Expect(slices.ContainsFunc(bounds, func(b bound) bool { return b.covers(rule) })).To(BeTrue(), "no bound is about %q", rule)
			}
			for _, b := range bounds {
				Expect(slices.ContainsFunc(rules, b.covers)).To(BeTrue(), "the schema has no rule for the bound %q", b.rule(kind))
			}
		}
	})

	It("bound every string, list and map", func() {
		crds, err := readCRDs()
		Expect(err).NotTo(HaveOccurred())
		for kind, crd := range crds {
			Expect(unbounded(crd)).To(BeEmpty(), "%s", kind)
		}
	})

	It("begin every message of a rule with the field, or with what it must be", func() {
		crds, err := readCRDs()
		Expect(err).NotTo(HaveOccurred())
		for _, crd := range crds {
			fields := fieldNames(crd)
			for _, rule := range schemaRules(crd) {
				if rule.keyword == "cel" {
					first, rest, _ := strings.Cut(rule.message, " ")
					Expect(append(fields, "must", "metadata.name")).To(ContainElement(first), "%q", rule)
					Expect(rest).To(MatchRegexp(`^(and \w+ )?(must|be|cannot|is immutable)\b`), "%q", rule)
				}
			}
		}
	})
})

var _ = Describe("The API server", Label("basic"), func() {
	DescribeTable("stores a whole object as the Go types hold it", func(ctx context.Context, text string, stored, read client.Object, spec, status func(client.Object) any) {
		Expect(yaml.UnmarshalStrict([]byte(text), stored)).To(Succeed())
		strict := client.WithFieldValidation(k8s, metav1.FieldValidationStrict)
		wantSpec, wantStatus := spec(stored), status(stored)
		Expect(strict.Create(ctx, stored)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, stored)).To(Succeed()) })
		Expect(yaml.UnmarshalStrict([]byte(text), read)).To(Succeed())
		read.SetResourceVersion(stored.GetResourceVersion())
		Expect(strict.Status().Update(ctx, read)).To(Succeed())
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(stored), read)).To(Succeed())
		Expect(cmp.Diff(wantSpec, spec(read))).To(BeEmpty())
		Expect(cmp.Diff(wantStatus, status(read))).To(BeEmpty())
	},
		Entry("NodeGroup", wholeNodeGroup, &v1alpha1.NodeGroup{}, &v1alpha1.NodeGroup{},
			func(o client.Object) any {
				group := o.(*v1alpha1.NodeGroup).DeepCopy()
				group.Spec.MinNodes, group.Spec.Weight = nil, nil // left out in the text and set by default
				return group.Spec
			},
			func(o client.Object) any { return o.(*v1alpha1.NodeGroup).DeepCopy().Status }),
		Entry("VPSieNode", wholeVPSieNode, &v1alpha1.VPSieNode{}, &v1alpha1.VPSieNode{},
			func(o client.Object) any { return o.(*v1alpha1.VPSieNode).DeepCopy().Spec },
			func(o client.Object) any { return o.(*v1alpha1.VPSieNode).DeepCopy().Status }),
		Entry("Disruption", disruptionText(), &v1alpha1.Disruption{}, &v1alpha1.Disruption{},
			func(o client.Object) any { return o.(*v1alpha1.Disruption).DeepCopy().Spec },
			func(o client.Object) any { return o.(*v1alpha1.Disruption).DeepCopy().Status }),
	)

	It("fills in the defaults of a NodeGroup that says nothing", func(ctx context.Context) {
		group := parse("{apiVersion: autoscaler.vpsie.com/v1alpha1, kind: NodeGroup, spec: {}}")
		store(ctx, group)
		read := &v1alpha1.NodeGroup{}
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(group), read)).To(Succeed())
		Expect(cmp.Diff(v1alpha1.NodeGroupSpec{
			Template: v1alpha1.NodeTemplate{MaxPods: new(int32(110))},
			MinNodes: new(int32(0)),
			Weight:   new(int32(1)),
			Disruption: v1alpha1.DisruptionRules{
				Policy:           v1alpha1.DisruptWhenCheaper,
				ConsolidateAfter: &metav1.Duration{Duration: 5 * time.Minute},
				Approval:         v1alpha1.ApprovalAutomatic,
			},
			Paused: v1alpha1.PauseNone,
		}, read.Spec)).To(BeEmpty())
	})

	It("leaves a Disruption unapproved unless it says otherwise", func(ctx context.Context) {
		decision := parse(wholeDisruption)
		set(decision.Object, "spec.approved", absent{})
		set(decision.Object, "spec.launch", absent{})
		store(ctx, decision)
		read := &v1alpha1.Disruption{}
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(decision), read)).To(Succeed())
		Expect(read.Spec.Approved).To(Equal(v1alpha1.ApprovedNo))
	})

	It("keeps spec and status apart", func(ctx context.Context) {
		group := parse(wholeNodeGroup)
		store(ctx, group)
		read := &v1alpha1.NodeGroup{}
		Expect(k8s.Get(ctx, client.ObjectKeyFromObject(group), read)).To(Succeed())
		Expect(read.Status).To(Equal(v1alpha1.NodeGroupStatus{}), "a status in a new object is dropped")

		read.Status.Nodes, read.Spec.MinNodes = 2, new(int32(7))
		Expect(k8s.Status().Update(ctx, read)).To(Succeed())
		Expect(read.Status.Nodes).To(BeEquivalentTo(2))
		Expect(read.Spec.MinNodes).To(HaveValue(BeEquivalentTo(0)), "a status update does not touch the spec")
		Expect(read.Generation).To(BeEquivalentTo(1), "nor does it make a new generation")

		read.Status.Nodes, read.Spec.MinNodes = 9, new(int32(1))
		Expect(k8s.Update(ctx, read)).To(Succeed())
		Expect(read.Status.Nodes).To(BeEquivalentTo(2), "an update does not touch the status")
		Expect(read.Generation).To(BeEquivalentTo(2))
	})

	It("accepts our finalizers, labels and annotations on the objects that carry them", func(ctx context.Context) {
		group, machine := parse(wholeNodeGroup), parse(wholeVPSieNode)
		group.SetFinalizers([]string{v1alpha1.NodeGroupFinalizer})
		group.SetLabels(map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue})
		machine.SetFinalizers([]string{v1alpha1.VPSieNodeFinalizer})
		machine.SetLabels(map[string]string{v1alpha1.NodeGroupLabel: "web", v1alpha1.DatacenterLabel: "hel"})
		machine.SetAnnotations(map[string]string{v1alpha1.VPSIDAnnotation: "m-1", v1alpha1.PodsAnnotation: "shop/web-1"})
		Expect(k8s.Create(ctx, group, client.DryRunAll)).To(Succeed())
		Expect(k8s.Create(ctx, machine, client.DryRunAll)).To(Succeed())

		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "hel-slave-01ab"}}
		node.Labels = map[string]string{v1alpha1.VPSieNodeLabel: machine.GetName(), v1alpha1.CategoryLabel: "general", v1alpha1.OfferingLabel: "104", v1alpha1.CPULabel: "4", v1alpha1.MemoryLabel: "8192"}
		node.Annotations = map[string]string{v1alpha1.CreationReasonAnnotation: string(v1alpha1.CreatedForPods), v1alpha1.ProtectedAnnotation: "true", v1alpha1.DoNotDisruptAnnotation: "4h"}
		node.Spec.Taints = []corev1.Taint{{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoExecute}, {Key: v1alpha1.DisruptingTaint, Effect: corev1.TaintEffectNoSchedule}}
		node.Status.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}
		Expect(k8s.Create(ctx, node, client.DryRunAll)).To(Succeed())
	})

	It("discovers the kinds under their short names and in the category vpsie", func() {
		found, err := discovery.NewDiscoveryClientForConfigOrDie(restConfig).ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
		Expect(err).NotTo(HaveOccurred())
		short := map[string][]string{}
		for _, kind := range found.APIResources {
			Expect(kind.Namespaced).To(BeFalse(), kind.Name)
			if !strings.Contains(kind.Name, "/") {
				short[kind.Name] = kind.ShortNames
				Expect(kind.Categories).To(Equal([]string{"vpsie"}), kind.Name)
			}
		}
		Expect(short).To(Equal(map[string][]string{"nodegroups": {"ng"}, "vpsienodes": {"vn"}, "disruptions": {"dis"}}))
	})

	DescribeTable("prints the columns that a user of kubectl get sees", func(ctx context.Context, resource, text string, wide, cells []string) {
		object := parse(text)
		status := object.Object["status"]
		store(ctx, object)
		object.Object["status"] = status
		Expect(k8s.Status().Update(ctx, object)).To(Succeed())

		table := tableOf(ctx, resource+"/"+object.GetName())
		var names []string
		for _, column := range table.ColumnDefinitions {
			if column.Priority == 0 {
				names = append(names, column.Name)
			} else {
				names = append(names, column.Name+"*")
			}
		}
		Expect(names).To(Equal(wide))
		Expect(table.Rows).To(HaveLen(1))
		Expect(texts(table)[1:]).To(Equal(cells))
	},
		Entry("nodegroups", "nodegroups", wholeNodeGroup,
			[]string{"Name", "Nodes", "Ready", "Cost/h", "Status", "Age", "Min*", "Max*"},
			[]string{"1", "1", "0.0333", "Ready", "(age)", "0", "<none>"}),
		Entry("vpsienodes", "vpsienodes", wholeVPSieNode+"  offering: s-1vcpu-1gb\n  nodeName: hel-slave-01ab\n  pricePerHour: \"0.0083\"\n  instanceID: m-1\n",
			[]string{"Name", "Phase", "Type", "Node", "Price/h", "Age", "Group*", "Created-For*", "VPSie-ID*"},
			[]string{"Provisioning", "s-1vcpu-1gb", "hel-slave-01ab", "0.0083", "(age)", "web", "provisioning", "m-1"}),
		Entry("disruptions", "disruptions", disruptionText(),
			[]string{"Name", "Reason", "Removed", "Launched", "Savings/h", "Phase", "Age"},
			[]string{"Cheaper", "web-1, web-3", "web-2", "0.0333", "Proposed", "(age)"}),
	)
})

// disruptionText is wholeDisruption with two machines that go and what its controller writes about them.
func disruptionText() string {
	decision := disruptionBase()
	set(decision, "spec.remove", []any{map[string]any{"vpsieNode": "web-1", "uid": "u-1"}, map[string]any{"vpsieNode": "web-3", "uid": "u-3"}})
	set(decision, "status.removed", "web-1, web-3")
	set(decision, "status.launched", "web-2")
	text, err := yaml.Marshal(decision)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// tableOf asks for an object as kubectl get does.
func tableOf(ctx context.Context, path string) metav1.Table {
	GinkgoHelper()
	httpClient, err := rest.HTTPClientFor(restConfig)
	Expect(err).NotTo(HaveOccurred())
	address := strings.TrimSuffix(restConfig.Host, "/") + "/apis/" + v1alpha1.GroupVersion.String() + "/" + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	answer, err := httpClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = answer.Body.Close() }()
	Expect(answer.StatusCode).To(Equal(http.StatusOK))
	var table metav1.Table
	Expect(json.NewDecoder(answer.Body).Decode(&table)).To(Succeed())
	return table
}

// texts prints the cells of the first row as kubectl does, apart from ages, which differ from run to run.
func texts(table metav1.Table) []string {
	GinkgoHelper()
	printed := make([]string, len(table.ColumnDefinitions))
	for i, column := range table.ColumnDefinitions {
		cell := table.Rows[0].Cells[i]
		switch {
		case cell == nil:
			printed[i] = "<none>"
		case column.Type == "date":
			Expect(cell).To(MatchRegexp(`^\d+s$`))
			printed[i] = "(age)"
		default:
			text, err := json.Marshal(cell)
			Expect(err).NotTo(HaveOccurred())
			printed[i] = strings.Trim(string(text), `"`)
		}
	}
	return printed
}
