// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	groupFile = "nodegroup.yaml"
	// shop is the folder of the shop's manifests and the namespace that they are for.
	shop         = "shop"
	fieldManager = "sandbox-demo"
)

// manifests are objects in the order in which kubectl apply would create them: by file, then as they stand in it.
type manifests []*unstructured.Unstructured

// read reads the node group and the shop.
func read(folder string) (group, workloads manifests, err error) {
	if group, err = readFile(filepath.Join(folder, groupFile)); err != nil {
		return nil, nil, err
	}
	files, err := filepath.Glob(filepath.Join(folder, shop, "*.yaml"))
	if err != nil {
		return nil, nil, fmt.Errorf("looking for the shop's manifests: %w", err)
	}
	slices.Sort(files)
	for _, file := range files {
		objects, err := readFile(file)
		if err != nil {
			return nil, nil, err
		}
		workloads = append(workloads, objects...)
	}
	if workloads.replicas() == 0 {
		return nil, nil, fmt.Errorf("reading the shop: %s has no workload with replicas in it; run this from a whole checkout or name one with --repository",
			filepath.Join(folder, shop))
	}
	return group, workloads, nil
}

func readFile(path string) (manifests, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading manifests: %w", err)
	}
	var objects manifests
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), len(content)+1)
	for {
		var document json.RawMessage
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err == nil && (len(document) == 0 || string(document) == "null") { // a comment alone
			continue
		}
		object := &unstructured.Unstructured{}
		if err = errors.Join(err, object.UnmarshalJSON(document)); err != nil {
			return nil, fmt.Errorf("reading manifests of %s: %w", path, err)
		}
		objects = append(objects, object)
	}
}

// apply does what kubectl apply --server-side does.
func (m manifests) apply(ctx context.Context, kube client.Client) error {
	for _, object := range m {
		configuration := client.ApplyConfigurationFromUnstructured(object.DeepCopy())
		if err := kube.Apply(ctx, configuration, client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
			return fmt.Errorf("applying %s %q: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// replicas is how many pods are asked for by number.
func (m manifests) replicas() int {
	total := 0
	for _, object := range m {
		n, _, _ := unstructured.NestedInt64(object.Object, "spec", "replicas")
		total += int(n)
	}
	return total
}

// kinds counts the objects of a kind.
func (m manifests) kinds(kind string) int {
	return count(m, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind })
}

// scaleToZero does what kubectl scale --replicas=0 does to everything that has replicas.
func (m manifests) scaleToZero(ctx context.Context, kube client.Client) error {
	for _, object := range m {
		if _, found, _ := unstructured.NestedInt64(object.Object, "spec", "replicas"); !found {
			continue
		}
		target := &unstructured.Unstructured{}
		target.SetGroupVersionKind(object.GroupVersionKind())
		target.SetNamespace(object.GetNamespace())
		target.SetName(object.GetName())
		scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 0}}
		scale.SetName(object.GetName())
		scale.SetNamespace(object.GetNamespace())
		if err := kube.SubResource("scale").Update(ctx, target, client.WithSubResourceBody(scale)); err != nil {
			return fmt.Errorf("scaling %s %q to zero: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}
