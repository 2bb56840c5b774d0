// The simulated system: Eyas, its DRAM and what the bench drives.
//
// The bench changes inputs and reads outputs at falling edges. It accesses a register of Eyas by holding `csr_write` or
// `csr_read` until `csr_done`.
//
// Under Icarus every output of Eyas that means something must be known after reset; `unknown` is sticky until the next
// reset. unknown_checks.svh adds one `CHECK_KNOWN(enable, data) line for each signal inside Eyas to be watched as well.
`timescale 1ns / 1ps
module top #(
    parameter integer WORDS = 1 << 16
) (
    output logic        clk  /*verilator public_flat_rd*/,
    input  logic        rst  /*verilator public_flat_rw*/,
    input  logic [31:0] words  /*verilator public_flat_rw*/,
    input  logic [31:0] job  /*verilator public_flat_rw*/,
    input  logic        load  /*verilator public_flat_rw*/,
    input  logic        dump  /*verilator public_flat_rw*/,
    input  logic [31:0] dump_base  /*verilator public_flat_rw*/,
    input  logic [31:0] dump_limit  /*verilator public_flat_rw*/,
    input  logic        csr_write  /*verilator public_flat_rw*/,
    input  logic        csr_read  /*verilator public_flat_rw*/,
    input  logic [11:0] csr_address  /*verilator public_flat_rw*/,
    input  logic [31:0] csr_data  /*verilator public_flat_rw*/,
    output logic        csr_done  /*verilator public_flat_rd*/,
    output logic [ 1:0] csr_response  /*verilator public_flat_rd*/,
    output logic [31:0] csr_value  /*verilator public_flat_rd*/,
    output logic        interrupt  /*verilator public_flat_rd*/,
    output logic        violation  /*verilator public_flat_rd*/,
    output logic        unknown  /*verilator public_flat_rd*/
);
  wire [31:0] axi__araddr, axi__awaddr, csr__rdata;
  wire [ 7:0] axi__arlen, axi__awlen, axi__wstrb;
  wire [ 2:0] axi__arsize, axi__awsize;
  wire [ 1:0] axi__arburst, axi__awburst, axi__arid, axi__rid, axi__rresp, axi__bresp, csr__bresp, csr__rresp;
  wire axi__arvalid, axi__arready, axi__rlast, axi__rvalid, axi__rready;
  wire axi__awid, axi__awvalid, axi__awready, axi__wlast, axi__wvalid, axi__wready, axi__bid, axi__bvalid, axi__bready;
  wire csr__awready, csr__wready, csr__bvalid, csr__arready, csr__rvalid;
  wire [63:0] axi__rdata, axi__wdata;
  logic csr__awvalid, csr__wvalid, csr__arvalid, csr_busy;

  eyas eyas (
      .csr__awaddr(csr_address),
      .csr__awprot(3'b0),
      .csr__wdata(csr_data),
      .csr__wstrb(4'hf),
      .csr__bready(1'b1),
      .csr__araddr(csr_address),
      .csr__arprot(3'b0),
      .csr__rready(1'b1),
      .*
  );
  dram #(.WORDS(WORDS)) dram (.*);

  initial begin
    clk = 0;
    forever #5 clk = !clk;
  end

  always @(posedge clk) begin
    if (csr__awready) csr__awvalid <= 0;
    if (csr__wready) csr__wvalid <= 0;
    if (csr__arready) csr__arvalid <= 0;
    if ((csr_write || csr_read) && !csr_busy) begin
      csr_busy <= 1;
      {csr__awvalid, csr__wvalid, csr__arvalid} <= {csr_write, csr_write, csr_read};
    end
    if (csr__bvalid || csr__rvalid) begin
      csr_done <= 1;
      csr_response <= csr__bvalid ? csr__bresp : csr__rresp;
      csr_value <= csr__rdata;
    end
    if (rst || !(csr_write || csr_read)) {csr_busy, csr_done} <= 0;
    if (rst) {csr__awvalid, csr__wvalid, csr__arvalid} <= 0;
  end

`ifdef __ICARUS__
  `define CHECK_KNOWN(enable, data) \
    if (^(enable) === 1'bx || ((enable) !== 0 && ^(data) === 1'bx)) report(`"data`");

  logic   armed = 0;
  integer i;

  always @(posedge clk) begin
    if (rst) begin
      armed <= 1;
      unknown <= 0;
    end else if (armed) begin
      `CHECK_KNOWN(1'b1, {interrupt, axi__arvalid, axi__rready, axi__awvalid, axi__wvalid, axi__bready})
      `CHECK_KNOWN(1'b1, {csr__awready, csr__wready, csr__bvalid, csr__arready, csr__rvalid})
      `CHECK_KNOWN(axi__arvalid, {axi__araddr, axi__arlen, axi__arsize, axi__arburst, axi__arid})
      `CHECK_KNOWN(axi__awvalid, {axi__awaddr, axi__awlen, axi__awsize, axi__awburst, axi__awid})
      `CHECK_KNOWN(axi__wvalid, {axi__wstrb, axi__wlast})
      for (i = 0; i < 8; i = i + 1) begin
        `CHECK_KNOWN(axi__wvalid && axi__wstrb[i], axi__wdata[8*i+:8])
      end
      `CHECK_KNOWN(csr__bvalid, csr__bresp)
      `CHECK_KNOWN(csr__rvalid, {csr__rdata, csr__rresp})
      `include "unknown_checks.svh"
    end
  end

  task report(input string signal);
    if (!unknown) $display("top: cycle %0d: unknown value in %0s", $time / 10, signal);
    unknown <= 1;
  endtask
`else
  assign unknown = 1'b0;
`endif
endmodule
