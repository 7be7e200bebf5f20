package content

// The pictures of generated titles: H.264 Constrained Baseline in its smallest form, a grey IDR picture and then
// pictures that repeat it. That makes the segments decodable; what gives them their size is filler (NAL unit
// type 12), which decoders skip (ITU-T H.264 section 7.4.2.7) and which carries the pattern.

const (
	nalSPS    = 0x67
	nalPPS    = 0x68
	nalIDR    = 0x65
	nalP      = 0x41
	nalFiller = 0x0c

	profileIDC     = 66   // Baseline
	constraintBits = 0xc0 // constraint_set0 and 1: Constrained Baseline, as every device plays it
)

// A picture is the geometry that all NAL units of a rendition share.
type picture struct {
	width, height int
	mbw, mbh      int // in macroblocks of 16 by 16
}

func (r Rung) picture() picture {
	w, h := r.width(), r.Height
	return picture{w, h, (w + 15) / 16, (h + 15) / 16}
}

// level is level_idc: the least that allows the size at 25 pictures a second (table A-1: MaxFS).
func (p picture) level() uint32 {
	switch mbs := p.mbw * p.mbh; {
	case mbs <= 396:
		return 20
	case mbs <= 1620:
		return 30
	case mbs <= 3600:
		return 31
	case mbs <= 8192:
		return 40
	case mbs <= 22080:
		return 50
	case mbs <= 36864:
		return 51
	default:
		return 60
	}
}

// sps is a sequence parameter set (section 7.3.2.1.1).
func (p picture) sps() []byte {
	var w bitWriter
	w.u(8, profileIDC)
	w.u(8, constraintBits)
	w.u(8, p.level())
	w.ue(0)   // seq_parameter_set_id
	w.ue(4)   // log2_max_frame_num_minus4: frame_num has 8 bits, for 100 pictures between IDRs
	w.ue(2)   // pic_order_cnt_type: output order is decoding order
	w.ue(1)   // max_num_ref_frames
	w.u(1, 0) // gaps_in_frame_num_value_allowed_flag
	w.ue(uint32(p.mbw - 1))
	w.ue(uint32(p.mbh - 1))
	w.u(1, 1) // frame_mbs_only_flag
	w.u(1, 1) // direct_8x8_inference_flag
	w.u(1, 1) // frame_cropping_flag; in units of two samples for 4:2:0
	w.ue(0)
	w.ue(uint32(p.mbw*16-p.width) / 2)
	w.ue(0)
	w.ue(uint32(p.mbh*16-p.height) / 2)
	w.u(1, 0) // vui_parameters_present_flag
	return w.nal(nalSPS)
}

// pps is a picture parameter set (section 7.3.2.2).
func (p picture) pps() []byte {
	var w bitWriter
	w.ue(0)   // pic_parameter_set_id
	w.ue(0)   // seq_parameter_set_id
	w.u(1, 0) // entropy_coding_mode_flag: CAVLC
	w.u(1, 0) // bottom_field_pic_order_in_frame_present_flag
	w.ue(0)   // num_slice_groups_minus1
	w.ue(0)   // num_ref_idx_l0_default_active_minus1
	w.ue(0)   // num_ref_idx_l1_default_active_minus1
	w.u(3, 0) // weighted_pred_flag, weighted_bipred_idc
	w.ue(0)   // pic_init_qp_minus26
	w.ue(0)   // pic_init_qs_minus26
	w.ue(0)   // chroma_qp_index_offset
	w.u(1, 1) // deblocking_filter_control_present_flag
	w.u(2, 0) // constrained_intra_pred_flag, redundant_pic_cnt_present_flag
	return w.nal(nalPPS)
}

// sliceHeader begins a slice that is a whole picture (section 7.3.3).
func (w *bitWriter) sliceHeader(sliceType, frameNum uint32) {
	w.ue(0) // first_mb_in_slice
	w.ue(sliceType)
	w.ue(0) // pic_parameter_set_id
	w.u(8, frameNum)
}

// idr is a picture without residual: every macroblock is predicted as the mean of its neighbours, of which the
// first has none, and that means mid-grey.
func (p picture) idr() []byte {
	var w bitWriter
	w.sliceHeader(7, 0)
	w.ue(0)   // idr_pic_id
	w.u(2, 0) // no_output_of_prior_pics_flag, long_term_reference_flag
	w.ue(0)   // slice_qp_delta
	w.ue(1)   // disable_deblocking_filter_idc
	for range p.mbw * p.mbh {
		w.ue(3)   // mb_type: I_16x16_2_0_0, DC prediction, nothing coded
		w.ue(0)   // intra_chroma_pred_mode: DC
		w.ue(0)   // mb_qp_delta
		w.u(1, 1) // coeff_token of the luma DC block: no coefficients
	}
	return w.nal(nalIDR)
}

// repeat is a picture of which every macroblock is skipped: the one before, again.
func (p picture) repeat(frameNum int) []byte {
	var w bitWriter
	w.sliceHeader(5, uint32(frameNum))
	w.u(3, 0) // num_ref_idx_active_override, ref_pic_list_modification_l0, adaptive_ref_pic_marking_mode: no
	w.ue(0)   // slice_qp_delta
	w.ue(1)   // disable_deblocking_filter_idc
	w.ue(uint32(p.mbw * p.mbh))
	return w.nal(nalP)
}
