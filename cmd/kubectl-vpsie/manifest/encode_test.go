// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"encoding/json"

	"sigs.k8s.io/yaml"
)

// encoders write a list in the forms in which people have them.
func encoders() []func(any) ([]byte, error) {
	return []func(any) ([]byte, error){
		json.Marshal,
		func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "\t") },
		yaml.Marshal, // with the kind after the items
	}
}
